import { BranchMergeError } from '../errors.js'
import { readSmallFile } from '../files/readSmallFile.js'
import { checkPath } from '../validate.js'
import { looksLikeMergekit, toRecipe } from './mergekit.js'
import { pathText } from './problems.js'
import { readYaml } from './readYaml.js'
import { RecipeDocument, type RecipeSource } from './recipe.js'

/** The parser's own limit is in characters, at most four bytes each. */
const maxBytes = 2 ** 20

/**
 * Reads a recipe file, YAML or JSON, or a configuration of mergekit as the recipe that it is converted to.
 *
 * @throws ERR_FILE_READ, or ERR_RECIPE with every problem of syntax and everything of mergekit that is not supported
 */
export async function readRecipe(path: string): Promise<RecipeDocument> {
  return parseRecipe(await readRecipeText(path), path)
}

/** The text of a recipe or mergekit file. */
export async function readRecipeText(path: string): Promise<string> {
  checkPath(path, 'recipe')
  const bytes = await readSmallFile(path, maxBytes, 'ERR_RECIPE')
  if (!bytes) throw new BranchMergeError('ERR_FILE_READ', `There is no file ${path}`)
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new BranchMergeError('ERR_RECIPE', `Expected UTF-8 text in ${path}`, { cause })
  }
}

/**
 * Parses the text of a recipe, YAML or JSON. `file` is what messages name and what relative paths start from.
 *
 * @throws ERR_RECIPE with every problem of syntax
 */
export function parseRecipe(text: string, file: string): RecipeDocument {
  const documents = readYaml(text, file)
  if (documents.some(({ value }) => looksLikeMergekit(value))) return convertedRecipe(text, file)
  const [document] = documents
  if (!document || documents.length > 1) {
    throw new BranchMergeError('ERR_RECIPE', `Expected one document in ${file} but found ${documents.length}`)
  }
  return new RecipeDocument(document.value, file, document.locate)
}

function convertedRecipe(text: string, file: string): RecipeDocument {
  const { recipe, notes } = toRecipe(text, file)
  const place = `${file}, as a recipe,`
  return new RecipeDocument(recipe, undefined, (path) => ({ text: `${place} ${pathText(path)}`, order: 0 }), notes)
}

/** Whether a text is the path of a recipe: no expression ends like that. */
export const isRecipePath = (text: string): boolean => /\.(ya?ml|json)$/i.test(text)

/** Reads the file, where it is one. */
export async function readSource(source: RecipeSource): Promise<RecipeSource> {
  return typeof source === 'string' && isRecipePath(source) ? await readRecipe(source) : source
}
