import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { DataProgress } from './data/options.js'
import { packageRoot } from './data/packageRoot.js'
import { prepareResolvedData } from './data/prepareData.js'
import type { PreparedData } from './data/preparedData.js'
import type { ResolvedRun } from './resolveRun.js'
import type { PreparedDirectories } from './trainerRun.js'

/** The data of a run, in the cache. */
export interface RunData extends PreparedDirectories {
  prepared: PreparedData
  /** The template that was trained with, when it is not the tokenizer's own. */
  chatTemplate: string | undefined
}

/** Prepares the data of a run, or finds it in the cache. */
export async function prepareRunData(
  run: ResolvedRun,
  running: { signal: AbortSignal | undefined; onProgress: (progress: DataProgress) => void },
): Promise<RunData> {
  const prepared = await prepareResolvedData(run.model, run.data, { threads: undefined, ...running })
  return {
    prepared,
    data: prepared.train.directory,
    validationData: prepared.validation?.directory,
    chatTemplate: await servedTemplate(run.data.template),
  }
}

/** Without the marks of what is trained, which few programs that serve models know; comments trim white space as they did. */
async function servedTemplate(name: string): Promise<string | undefined> {
  if (name === 'checkpoint') return undefined
  const path = name.endsWith('.jinja') ? name : join(packageRoot, 'templates', `${name}.jinja`)
  const text = await readFile(path, 'utf8')
  return text.replace(/\{%(-?)\s*(?:end)?generation\s*(-?)%\}/g, '{#$1 $2#}')
}
