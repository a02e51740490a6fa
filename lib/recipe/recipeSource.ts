import { type Recipe, type RecipeDocument, readRecipe } from './recipe.js'

/**
 * What a merge is told by: an expression, the path of a file (.yaml, .yml or .json) with a recipe or a configuration of mergekit,
 * what `readRecipe` has read, or a recipe as an object.
 */
export type RecipeSource = string | Recipe | RecipeDocument

/** Whether a text is the path of a recipe: no expression ends like that. */
export const isRecipePath = (text: string): boolean => /\.(ya?ml|json)$/i.test(text)

/** Reads the file, where it is one. */
export async function readSource(source: RecipeSource): Promise<RecipeSource> {
  return typeof source === 'string' && isRecipePath(source) ? await readRecipe(source) : source
}
