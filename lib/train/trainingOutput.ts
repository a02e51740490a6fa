import { copyFile, mkdir, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { torchName } from '../checkpoint/dtypes.js'
import { configWithDtype, configWithoutQuantisation } from '../checkpoint/outputConfig.js'
import { readConfig } from '../checkpoint/readConfig.js'
import { completeSideFiles, isOfTokenizer, listSideFiles } from '../checkpoint/sideFiles.js'
import { indexFileName, singleFileName } from '../checkpoint/weightFiles.js'
import { BranchMergeError } from '../errors.js'
import { makeDirectory, sync, write } from '../files/durableFiles.js'
import { examineOutput, firstOf } from '../files/outputDirectory.js'
import { newToken, partialSuffix, removeAbandoned } from '../files/owners.js'
import { writeWhole } from '../files/writeWhole.js'
import { namesIn } from './namesIn.js'

/** Everything of a run but the expert itself, in the output directory. */
export const trainingDirectoryName = 'training'

/** What an error said, for those who follow from another machine. */
export const failureFileName = 'failure.json'

/** What the expert was trained on, and where that comes from. */
export const provenanceFileName = 'provenance.json'

/** new: nothing is there. begun: a run that was cut off. finished: the expert is complete. */
export type OutputState = 'new' | 'begun' | 'finished'

/**
 * What is in an output directory. Looks, and changes nothing.
 *
 * @throws ERR_OUTPUT_EXISTS when there is something that `resume` does not release, or that is no run's;
 *   ERR_OUTPUT_WRITE when it cannot be looked at
 */
export async function examineTraining(output: string, resume: boolean): Promise<OutputState> {
  const { content } = await examineOutput(output, true)
  if (content.length === 0) return 'new'
  if (!content.includes(trainingDirectoryName)) {
    throw new BranchMergeError(
      'ERR_OUTPUT_EXISTS',
      `Expected a new or empty directory for output but ${output} holds ${firstOf(content)}. Choose another.`,
    )
  }
  const finished = content.includes(singleFileName) || content.includes(indexFileName)
  if (resume) return finished ? 'finished' : 'begun'
  throw new BranchMergeError(
    'ERR_OUTPUT_EXISTS',
    finished
      ? `Expected a new or empty directory for output but ${output} holds a finished expert. Choose another, or remove it.`
      : `Expected a new or empty directory for output but ${output} holds an interrupted run. ` +
          'Continue it (--resume, resume: true), choose another, or remove it.',
  )
}

/** Makes `training/`. */
export async function makeTrainingDirectory(output: string): Promise<string> {
  const directory = join(output, trainingDirectoryName)
  const exists = await stat(directory).then(
    () => true,
    () => false,
  )
  if (!exists) await makeDirectory(directory)
  await removeAbandoned(directory)
  return directory
}

export interface ExpertFiles {
  model: string
  /** Where the tokenizer comes from, when it is not the model's. */
  tokenizer: string | undefined
  /** Text of the chat template that was trained with, when it is not the tokenizer's own. */
  chatTemplate: string | undefined
  dtype: 'BF16' | 'F16' | 'F32'
}

/**
 * Writes what an expert has beside its weights: config.json of the dtype that is exported, the model's other side files, and
 * the tokenizer and template of the training. It is done before the training begins: the weights come last, so that the
 * directory looks complete only when it is.
 */
export async function writeExpertFiles(output: string, files: ExpertFiles): Promise<void> {
  const { model, tokenizer, chatTemplate, dtype } = files
  const config = await readConfig(model)
  if (!config)
    throw new BranchMergeError(
      'ERR_CONFIG_JSON',
      `Expected a configuration but there is no file ${join(model, 'config.json')}`,
    )
  const ofModel = (await listSideFiles(model)).filter((name) => name !== 'config.json')
  const ofTokenizer = tokenizer === undefined ? [] : (await listSideFiles(tokenizer)).filter(isOfTokenizer)
  const sources = new Map([
    ...ofModel.filter((name) => tokenizer === undefined || !isOfTokenizer(name)).map((name) => [name, model] as const),
    ...ofTokenizer.map((name) => [name, tokenizer as string] as const),
  ])
  if (chatTemplate !== undefined) sources.delete('chat_template.jinja')
  await removeAbandoned(output)
  await removeStale(output, sources)
  for (const [name, directory] of sources) await copyWhole(join(directory, name), join(output, name))
  if (chatTemplate !== undefined) await writeWhole(join(output, 'chat_template.jinja'), chatTemplate)
  const text = config.quantisation === undefined ? config.text : configWithoutQuantisation(config)
  await writeWhole(join(output, 'config.json'), configWithDtype({ text }, torchName(dtype)))
  await sync(output)
}

/** Side files of an earlier beginning of this run that it no longer has. */
async function removeStale(output: string, sources: ReadonlyMap<string, string>): Promise<void> {
  for (const name of (await completeSideFiles(output)).files) {
    if (!sources.has(name)) await rm(join(output, name), { force: true })
  }
}

async function copyWhole(source: string, path: string): Promise<void> {
  const temporary = `${path}.${newToken()}${partialSuffix}`
  await write(path, async () => {
    await mkdir(dirname(path), { recursive: true })
    try {
      await copyFile(source, temporary)
      await sync(temporary)
      await rename(temporary, path)
    } catch (error) {
      await rm(temporary, { force: true })
      throw error
    }
  })
}

/** Whether there is a snapshot that training can go on from. */
export async function hasSnapshot(directory: string): Promise<boolean> {
  const names = await namesIn(join(directory, 'checkpoints'))
  return names.some((name) => /^step-\d+$/.test(name))
}
