import { isServerSpec } from '../engines/open/engineSpec.js'
import { BranchMergeError } from '../errors.js'
import type { TeachingState } from './records.js'
import type { ResolvedTeacher } from './resolveTeaching.js'

/**
 * The teacher as its answers are keyed: the same whether a server is called or batch files go to and fro.
 *
 * @throws ERR_INVALID_ARGUMENT where no name is known, or it is not asked with messages
 */
export function batchTeacher(teacher: ResolvedTeacher): Pick<TeachingState['teacher'], 'identity' | 'description'> {
  const { spec, name } = teacher
  const model = spec === undefined ? name : isServerSpec(spec) && spec.api !== 'completions' ? spec.model : undefined
  if (model !== undefined) {
    return { identity: { kind: 'chat', model, details: {} }, description: { engine: 'batch', model } }
  }
  throw new BranchMergeError(
    'ERR_INVALID_ARGUMENT',
    'Expected the name under which a batch API has the teacher, which it asks with messages: --model NAME, without a directory',
  )
}
