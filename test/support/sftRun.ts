import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { init } from '../../lib/index.js'
import { temporaryDirectory } from './temporary.js'

/** The stand-in that shows how the launcher behaves when a trainer misbehaves. */
export const trainerDouble = fileURLToPath(new URL('trainerDouble.js', import.meta.url))

/** What the double does: see the file. */
export interface DoubleScript {
  steps?: number
  milliseconds?: number
  savingMilliseconds?: number
  /** It does not end step `at` before it is told to stop. */
  untilStopped?: boolean
  fail?: 'plan' | 'error' | 'crash' | 'silentExit' | 'log' | 'hang' | 'slow'
  at?: number
  rank?: number
}

export const doubleEnv = (script: DoubleScript = {}): Record<string, string> => ({
  BRANCHMERGE_TRAINER: trainerDouble,
  BRANCHMERGE_DOUBLE: JSON.stringify(script),
})

/** What the tokenizer of the model is trained on. */
const text = fileURLToPath(new URL('../../docs/fusion.md', import.meta.url))

const rows = Array.from({ length: 24 }, (_, i) => ({
  messages: [
    { role: 'user', content: `${i} + ${i + 1}` },
    { role: 'assistant', content: `${2 * i + 1}` },
  ],
}))

let made: Promise<string> | undefined

/** A model of random weights, made once for all tests of a file. */
function base(): Promise<string> {
  made ??= (async () => {
    const directory = mkdtempSync(join(tmpdir(), 'branchmerge-base-'))
    process.once('exit', () => rmSync(directory, { recursive: true, force: true }))
    const out = join(directory, 'base')
    await init({ out, size: '1m', trainTokenizer: [text], vocabularySize: 300 })
    return out
  })()
  return made
}

/** A model of random weights, data and a run.yaml in a directory of their own. */
export async function newRun(more = ''): Promise<{ directory: string; file: string; output: string; model: string }> {
  const directory = temporaryDirectory()
  const [model, data] = [join(directory, 'base'), join(directory, 'data.jsonl')]
  writeFileSync(data, rows.map((row) => `${JSON.stringify(row)}\n`).join(''))
  cpSync(await base(), model, { recursive: true })
  const file = join(directory, 'run.yaml')
  const lines = [
    'model: base',
    'output: expert',
    'data:',
    '  sources: [data.jsonl]',
    '  cutoffLength: 64',
    '  cache: cache',
    more,
  ]
  writeFileSync(file, `${lines.join('\n')}\n`)
  return { directory, file, output: join(directory, 'expert'), model }
}
