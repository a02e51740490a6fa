// Written from fuseKeys.ts by `npx vitest run test/options.test.ts -u`: see CONTRIBUTING.md.
import type { DtypeName } from '../checkpoint/dtypes.js'
import type { DownloadProgress } from '../hub/download.js'
import type { DeviceOption } from '../native/deviceOption.js'
import type { Progress } from './progress.js'
import type { TensorStats } from './tensorStats.js'

/** Options of a fusion of two checkpoints. */
export interface FuseCheckpointsOptions extends FuseOptions {
  /**
   * Vocabulary sizes that differ: refused, or the rows that all have are merged and no others kept, or also those of
   * the first (left) or last (right) model. Default: refuse.
   */
  embeddings?: 'refuse' | 'common' | 'left' | 'right' | undefined
  /**
   * Names of tensors: equal in all models, or those that agree but for prefixes as model. and language_model. taken as
   * one; the output has those of the first model. Default: equal.
   */
  names?: 'equal' | 'prefixes' | undefined
  /**
   * Output heads that some models tie to the embedding and others store: they must equal the embedding, or the
   * embedding is read as the head of those that have none. Default: equal.
   */
  heads?: 'equal' | 'embedding' | undefined
  /** First entry of architectures in config.json: equal in all models, or any. Default: equal. */
  architectures?: 'equal' | 'any' | undefined
  /** Dtypes in which single models are read, by their names: left and right, or the recipe's. Over dtype. */
  modelDtypes?: Readonly<Record<string, DtypeName>> | undefined
  /** Directory to write, new or empty. */
  out: string
  /** Replace the checkpoint in out. Default: false. */
  overwrite?: boolean | undefined
  /** Write a model card, README.md. Default: true. */
  card?: boolean | undefined
  /**
   * Continue an interrupted merge, and keep the work if this one is interrupted. The bytes are the same. Default:
   * false.
   */
  resume?: boolean | undefined
  /** Largest size of a file. A number of bytes or a size as '5GB', '500MB' or '2GiB'. Default: the files of Left. */
  maxShardSize?: number | string | undefined
  /**
   * Memory limit for tensors. Larger ones are processed in slices; the bytes are the same. A number of bytes or a size
   * as '5GB', '500MB' or '2GiB'. Default: a quarter of the machine's memory, or of the limit of the process's control
   * group.
   */
  memory?: number | string | undefined
  /** What computes (docs/cuda.md). The bytes are the same. Default: auto. */
  device?: DeviceOption | undefined
  /** Called once for every tensor, when it is done. */
  onTensor?: ((stats: TensorStats) => void) | undefined
  /** Called now and then while models of the Hub are fetched, before anything is merged. */
  onDownload?: ((progress: DownloadProgress) => void) | undefined
}

/** Options of every fusion. Each field of {@link FusionOptions} overrides the preset's. */
export interface FuseOptions extends FusionOptions {
  /** Values of all other choices. Default: arcee. */
  preset?: 'arcee' | 'paper' | 'paper-soft' | undefined
  /** On NaN or infinity: refuse, or keep this side's tensor. Default: error. */
  nonFinite?: 'error' | 'left' | 'right' | undefined
  /** Dtype of the output's float tensors. Default: the inputs'. */
  dtype?: 'BF16' | 'F16' | 'F32' | 'F64' | 'bfloat16' | 'float16' | 'float32' | 'float64' | undefined
  /**
   * Number of threads. An integer from 1 to 1024. Default: all cores that this process may use, or its control group
   * has time of.
   */
  threads?: number | undefined
  /** Interrupts the call. */
  signal?: AbortSignal | undefined
  /** Called now and then on the JavaScript thread, never after the call has settled. */
  onProgress?: ((progress: Progress) => void) | undefined
}

/** What defines a fusion: docs/fusion.md. */
export interface FusionOptions {
  /** What one softmax spans. Default: the preset's. */
  scope?: 'row' | 'tensor' | undefined
  /** P‖Q of the divergence. Default: the preset's. */
  divergence?: 'right||left' | 'left||right' | undefined
  /** Importance of an element. Default: the preset's. */
  score?: 'abs' | 'signed' | undefined
  /** When Right is taken. Default: the preset's. */
  gate?: 'ge' | 'gt' | 'soft' | undefined
  /** Threshold = median + lambda × (Q3 − Q1). A number from 0 to 1000000. Default: the preset's. */
  lambda?: number | undefined
  /** Added to every softmax value. 0 or a number from 1e-30 to 1. Default: the preset's. */
  epsilon?: number | undefined
  /** Kind of quartile. Default: the preset's. */
  quantile?: 'lower' | 'linear' | undefined
  /** Elements the quartiles are of. Default: the preset's. */
  population?: 'all' | 'changed' | undefined
}
