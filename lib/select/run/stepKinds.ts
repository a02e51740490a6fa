import { contamination } from '../contamination/contamination.js'
import { duplicates } from '../duplicates/duplicates.js'
import { quality } from '../quality/quality.js'
import type { StepKind } from '../step.js'
import { choose } from '../steps/choose.js'
import { form } from '../steps/form.js'
import { size } from '../steps/size.js'
import { where } from '../steps/where.js'
import { verify } from '../verification/verify.js'

const kinds = { where, choose, form, size, quality, verify, duplicates, contamination }

/**
 * Every kind of step by the key that it has in a recipe. What options it takes is in recipes/selection.schema.json, in `$defs`
 * under the same name and among the properties of `step`.
 */
export const stepKinds: ReadonlyMap<string, StepKind> = new Map(Object.entries(kinds as Record<string, StepKind>))
