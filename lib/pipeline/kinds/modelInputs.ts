import type { EngineSpec } from '../../engines/open/engineSpec.js'
import type { InputPlace } from './stepKind.js'

/** The directories of a model that is asked: what a server has is not known. */
export function modelInputs(spec: EngineSpec): InputPlace[] {
  const { path, tokenizer } = spec as { path?: string; tokenizer?: string }
  return [path, tokenizer].flatMap((each) => (each === undefined ? [] : [{ path: each, kind: 'model' as const }]))
}
