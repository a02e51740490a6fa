import { readSource } from '../recipe/readRecipe.js'
import type { RecipeSource } from '../recipe/recipe.js'
import { type MergeOptions, resolveMergeRequest } from './plan/mergeRequest.js'
import type { MergeSummary } from './run/mergeResult.js'
import { prepare } from './run/session.js'

/**
 * Merges models as an expression or a recipe says, all merges of it in one pass over the files.
 *
 * @param recipe - an expression as `(math & science) & coding`, or a recipe: the path of its file, an object, or what
 *   readRecipe has read. A file may also be a configuration of mergekit, which is converted; its paths start from the working
 *   directory
 * @param options - may be left out where the recipe says where its models are and where the result goes
 * @throws BranchMergeError with any of the codes in docs/errors.md; the signal's reason after an abort.
 */
export async function merge(recipe: RecipeSource, options: MergeOptions = {}): Promise<MergeSummary> {
  const started = performance.now()
  const session = await prepare(resolveMergeRequest(await readSource(recipe), options), { started })
  return (await session.run()).summary
}
