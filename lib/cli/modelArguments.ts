import { stat } from 'node:fs/promises'
import { BranchMergeError } from '../errors.js'
import { type RecipeDocument, readRecipe } from '../recipe/recipe.js'
import { invalidArgument } from '../validate.js'
import { UsageError } from './usageError.js'

/** `--model NAME=PATH`, any number of times, as paths by name. */
export function modelPaths(given: unknown): Record<string, string> {
  const texts = given === undefined ? [] : Array.isArray(given) ? given : [given]
  const paths = new Map<string, string>()
  for (const text of texts) {
    const [, name, path] = typeof text === 'string' ? (/^([^=]+)=(.+)$/s.exec(text) ?? []) : []
    if (name === undefined || path === undefined) throw invalidArgument('NAME=PATH', 'model', text)
    if (paths.has(name)) {
      throw new BranchMergeError('ERR_INVALID_ARGUMENT', `Expected the model ${name} once, not twice, for model`)
    }
    paths.set(name, path)
  }
  return Object.fromEntries(paths)
}

/** A recipe file by its name, or an expression. */
export async function recipeArgument(text: string): Promise<string | RecipeDocument> {
  if (/\.(ya?ml|json)$/i.test(text)) return await readRecipe(text)
  // No expression has a slash outside of quotes.
  const place = text.includes('/') ? await stat(text).catch(() => undefined) : undefined
  if (place?.isDirectory()) {
    throw new UsageError(
      `Expected an expression or a recipe but ${text} is a directory: name it with --model NAME=${text}`,
    )
  }
  if (place) throw new UsageError(`Expected an expression or a recipe's .yaml or .json file: for ${text} use --recipe`)
  return text
}
