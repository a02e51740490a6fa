import { stat } from 'node:fs/promises'
import { BranchMergeError } from '../errors.js'
import { isRecipePath, readRecipe } from '../recipe/readRecipe.js'
import type { RecipeDocument } from '../recipe/recipe.js'
import { invalidArgument } from '../validate.js'
import { UsageError } from './usageError.js'

/** `--model NAME=PATH`, any number of times, as paths by name. */
export const modelPaths = (given: unknown): Record<string, string> => namedPaths(given, 'model')

/** The same of another option. */
export function namedPaths(given: unknown, option: string): Record<string, string> {
  return byModel(listOf(given), 'PATH', option)
}

/** `--dtype DTYPE` and `--dtype NAME=DTYPE`, and the choices about models that are not stored alike. */
export function unlikeModels(args: Record<string, unknown>): Record<string, unknown> {
  const { embeddings, names, heads, architectures } = args
  const isNamed = (text: unknown) => typeof text === 'string' && text.includes('=')
  const dtypes = listOf(args.dtype)
  const [dtype, ...more] = dtypes.filter((text) => !isNamed(text))
  if (more.length > 0) throw invalidArgument('one dtype, and others as NAME=DTYPE,', 'dtype', more[0])
  const modelDtypes = byModel(dtypes.filter(isNamed), 'DTYPE', 'dtype')
  return { dtype, modelDtypes, embeddings, names, heads, architectures }
}

const listOf = (given: unknown): unknown[] => (given === undefined ? [] : Array.isArray(given) ? given : [given])

/** Texts NAME=VALUE as values by name. */
function byModel(texts: unknown[], value: string, option: string): Record<string, string> {
  const found = new Map<string, string>()
  for (const text of texts) {
    const [, name, rest] = typeof text === 'string' ? (/^([^=]+)=(.+)$/s.exec(text) ?? []) : []
    if (name === undefined || rest === undefined) throw invalidArgument(`NAME=${value}`, option, text)
    if (found.has(name)) {
      throw new BranchMergeError('ERR_INVALID_ARGUMENT', `Expected the name ${name} once, not twice, for ${option}`)
    }
    found.set(name, rest)
  }
  return Object.fromEntries(found)
}

/** A recipe file by its name, or an expression. */
export async function recipeArgument(text: string): Promise<string | RecipeDocument> {
  if (isRecipePath(text)) return await readRecipe(text)
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
