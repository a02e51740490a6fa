import { isFloat } from '../../checkpoint/dtypes.js'
import type { CheckpointTensor } from '../../checkpoint/openCheckpoint.js'
import type { ModelConfig } from '../../checkpoint/readConfig.js'
import { BranchMergeError } from '../../errors.js'
import type { MatchedModel } from './matchTensors.js'

interface QuantisedModel extends MatchedModel {
  config: ModelConfig | undefined
}

/**
 * That no model stores quantised weights: its configuration says so and its tensors are codes. A configuration alone may
 * be left over from before the weights were dequantised; integers alone may be indices or masks.
 *
 * @throws ERR_DTYPE_UNSUPPORTED naming all such models
 */
export function refuseQuantised(models: readonly QuantisedModel[]): void {
  const faults = models.flatMap(({ label, checkpoint, config }) => {
    const codes = config?.quantisation === undefined ? [] : checkpoint.tensors.filter(isCodes)
    const [first] = codes
    if (!first) return []
    const which = `"${first.name}" is ${first.dtype}${codes.length > 1 ? `, and ${codes.length - 1} more such` : ''}`
    return [`  ${label}, ${checkpoint.path}, is quantised with ${config?.quantisation}: ${which}`]
  })
  if (faults.length === 0) return
  throw new BranchMergeError(
    'ERR_DTYPE_UNSUPPORTED',
    `The checkpoints cannot be merged. Merge the models before they are quantised, and quantise the result.\n${faults.join('\n')}`,
  )
}

/** Codes are packed into at most 32 bits; masks and positions, which models keep as integers too, have these names. */
const isCodes = ({ name, dtype, shape }: CheckpointTensor): boolean =>
  !isFloat(dtype) &&
  !['BOOL', 'I64', 'U64', 'C64'].includes(dtype) &&
  shape.length > 1 &&
  !/(^|\.)(bias|masked_bias|position_ids)$/.test(name)
