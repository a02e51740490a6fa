import type { DataProgress } from '../data/options.js'
import { prepareResolvedData } from '../data/prepareData.js'
import type { PreparedData } from '../data/preparedData.js'
import { servedTemplate } from '../data/servedTemplate.js'
import type { ResolvedRun } from './resolveRun.js'
import type { PreparedDirectories } from './trainerRun.js'

/** The data of a run, in the cache. */
export interface RunData extends PreparedDirectories {
  prepared: PreparedData
  /** What the expert is to be asked with, when it is not the tokenizer's own. */
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
    chatTemplate: await servedTemplate(run.model, run.data),
  }
}
