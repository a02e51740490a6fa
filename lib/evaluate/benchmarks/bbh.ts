import { readdir, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { readFailure, readSmallFile } from '../../files/readSmallFile.js'
import { gradeBbh, optionsOf } from '../../grading/bbhAnswer.js'
import type { Question } from '../../questions/question.js'
import { checkPath, isMapping } from '../../validate.js'
import { bbhTasks } from './bbhTasks.js'
import { benchmarkError } from './rows.js'
import type { BenchmarkReader, BenchmarkSource, ReadBenchmark } from './source.js'

const published = 6511
const maxBytes = 16 * 2 ** 20

export const bbh: BenchmarkReader = {
  kind: 'bbh',
  names: /^(bbh|big-?bench-?hard)/i,
  hasColumns: (columns) => columns.has('examples') && columns.has('canary'),
  profiles: ['strict'],
  options: ['cotPrompts'],
  read: readBbh,
}

/** Of the published files: one for each task, or a directory of them. With `cotPrompts`, the directory of the three-shot prompts. */
async function readBbh({ path, options }: BenchmarkSource): Promise<ReadBenchmark> {
  const prompts = options['cotPrompts'] === undefined ? undefined : checkPath(options['cotPrompts'], 'cotPrompts')
  const files = await taskFiles(path)
  const [questions, paths, notes]: [Question[], string[], string[]] = [[], [], []]
  for (const file of files) {
    const name = basename(file, '.json')
    const task = bbhTasks.get(name)
    if (!task) throw benchmarkError(`Expected the name of one of the 27 tasks for ${file}, such as word_sorting.json`)
    paths.push(file)
    const promptFile = prompts && join(prompts, `${name}.txt`)
    if (promptFile) paths.push(promptFile)
    const shots = promptFile && (await readShots(promptFile))
    for (const [index, { input, target }] of (await readExamples(file)).entries()) {
      const defect = task.type === 'letter' ? defectOf(input, target) : undefined
      if (defect) notes.push(`${name}[${index}]: ${defect}`)
      questions.push(questionOf({ name, index, input, target, shots, ...task }))
    }
  }
  if (questions.length !== published)
    notes.unshift(`It has ${questions.length} questions; the published set has ${published}`)
  return {
    version: `bbh/strict@1${prompts ? '+3-shot' : ''}`,
    paths,
    questions,
    trials: 1,
    sampling: {},
    needsPrograms: false,
    confidential: false,
    notes,
  }
}

async function taskFiles(path: string): Promise<string[]> {
  const found = await stat(path).catch((cause) => {
    throw readFailure(path, cause)
  })
  if (!found.isDirectory()) return [path]
  const names = (await readdir(path)).filter((name) => name.endsWith('.json')).sort()
  if (names.length === 0) throw benchmarkError(`Expected the tasks' .json files in ${path} but there are none`)
  return names.map((name) => join(path, name))
}

interface Example {
  input: string
  target: string
}

async function readExamples(file: string): Promise<Example[]> {
  const text = await readText(file)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw benchmarkError(`Expected JSON in ${file}: ${(cause as Error).message}`, cause)
  }
  const examples = isMapping(value) ? value['examples'] : undefined
  if (!Array.isArray(examples) || examples.length === 0) {
    throw benchmarkError(`Expected a list of examples in ${file}`)
  }
  return examples.map((example, index) => {
    const { input, target } = isMapping(example) ? example : {}
    if (typeof input === 'string' && input.trim() !== '' && typeof target === 'string' && target.trim() !== '') {
      return { input, target }
    }
    throw benchmarkError(`${file}, example ${index}: expected texts for input and target`)
  })
}

async function readText(file: string): Promise<string> {
  const bytes = await readSmallFile(file, maxBytes, 'ERR_BENCHMARK')
  if (!bytes) throw benchmarkError(`Expected a file at ${file} but there is none`)
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw benchmarkError(`Expected UTF-8 in ${file}`, cause)
  }
}

/** The examples of a published prompt, behind the canary and a line of hyphens. */
async function readShots(file: string): Promise<string> {
  const [, mark, ...rest] = (await readText(file)).split('\n')
  if (!/^-+\s*$/.test(mark ?? ''))
    throw benchmarkError(`Expected a canary and a line of hyphens at the beginning of ${file}`)
  return rest.join('\n').trim()
}

/** What is known to be wrong with some published questions. */
function defectOf(input: string, target: string): string | undefined {
  const options = optionsOf(input)
  const letter = /^\(([A-R])\)$/.exec(target.trim())?.[1]
  if (options.length < 2) return 'its options cannot be told apart'
  if (letter === undefined) return `its target is no letter: ${JSON.stringify(target)}`
  return options.some((option) => option.letter === letter) ? undefined : `its target ${target} is none of its options`
}

type Task = Example & {
  name: string
  index: number
  shots: string | undefined
  type: Parameters<typeof gradeBbh>[1]['type']
  description: string
}

function questionOf({ name, index, input, target, shots, type, description }: Task): Question {
  const content = shots
    ? `${shots}\n\nQ: ${input}\nA: Let's think step by step.`
    : `${description}\n\n${input}\n\nThink step by step, then give the final answer on the last line as: "The answer is X."`
  return {
    id: `${name}/${index}`,
    text: input,
    labels: { task: name },
    prompt: () => ({ messages: [{ role: 'user', content }] }),
    reference: target,
    grade: async (completion) => gradeBbh(completion, { type, target, input }),
  }
}
