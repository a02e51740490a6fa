import { BranchMergeError } from '../errors.js'
import { checkChoice } from '../validate.js'
import type { Native } from './native.js'

const variable = 'BRANCHMERGE_INSTRUCTION_SET'

/**
 * The kernels that the environment variable asks for, to test one set on a machine that has several; undefined when it
 * is unset: the best that this CPU runs.
 *
 * @throws ERR_INVALID_ARGUMENT for an unknown name, ERR_UNAVAILABLE for one that this build or CPU lacks.
 */
export function requestedInstructionSet(native: Native): string | undefined {
  const requested = process.env[variable]
  if (!requested) return undefined
  checkChoice(requested, variable, ['scalar', 'avx2', 'avx512'])
  const { instructionSets } = native.info()
  if (instructionSets.includes(requested)) return requested
  throw new BranchMergeError(
    'ERR_UNAVAILABLE',
    `${variable} asks for ${requested}, but this build on this CPU runs ${instructionSets.join(', ')}`,
  )
}
