import type { MergedTensorStats } from '../../fusion/tensorStats.js'
import type { NativeMergeTotals } from '../../native/native.js'

/** A merged tensor with the hashes of its bytes, docs/provenance.md. */
export interface MergedTensor extends MergedTensorStats {
  /** In the order of the plan's models. */
  modelHashes: string[]
  /** Of the output. */
  hash: string
}

/** What a merge came to. */
export interface MergeOutcome {
  /** In the order of the output. */
  tensors: MergedTensor[]
  totals: NativeMergeTotals
}
