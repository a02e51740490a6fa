import type { StepKind } from '../step.js'
import { where } from '../steps/where.js'

/**
 * Every kind of step by the key that it has in a recipe. What options it takes is in recipes/selection.schema.json, in `$defs`
 * under the same name and among the properties of `step`.
 */
export const stepKinds: ReadonlyMap<string, StepKind> = new Map<string, StepKind>([['where', where as StepKind]])
