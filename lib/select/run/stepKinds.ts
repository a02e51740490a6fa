import type { StepKind } from '../step.js'
import { choose } from '../steps/choose.js'
import { form } from '../steps/form.js'
import { size } from '../steps/size.js'
import { where } from '../steps/where.js'

const kinds = { where, choose, form, size }

/**
 * Every kind of step by the key that it has in a recipe. What options it takes is in recipes/selection.schema.json, in `$defs`
 * under the same name and among the properties of `step`.
 */
export const stepKinds: ReadonlyMap<string, StepKind> = new Map(Object.entries(kinds as Record<string, StepKind>))
