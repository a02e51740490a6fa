import type { DtypeName } from '../checkpoint/dtypes.js'
import type { ModelChoices } from '../checkpoint/modelChoices.js'
import { type Locate, pathText } from './problems.js'
import type { Setting } from './setting.js'

/** Which models are merged, how, and into what: recipes/recipe.schema.json in types; docs/recipes.md explains it. */
export interface Recipe extends ModelChoices {
  models?: Record<string, string | RecipeModel>
  /** What is merged, or {@link Recipe.steps}. */
  expression?: string
  /** Merges in their order; the last one is the result. */
  steps?: RecipeStep[]
  /** Options of every merge that knows them. */
  options?: RecipeOptions
  rules?: RecipeRule[]
  output?: {
    path?: string
    /** Of float tensors. Default: the inputs'. What models store in different dtypes is read in it, too. */
    dtype?: DtypeName
    /** Bytes, or a text as '5GB'. */
    maxShardSize?: number | string
    /** Model that configuration and tokenizer come from. Default: Left, or the base, of the result. */
    tokenizer?: string
  }
  /** Results between steps: as if stored in the inputs' dtype (default), or in float32. */
  intermediate?: 'storage' | 'float32'
  expect?: RecipeExpectations
}

export interface RecipeModel {
  /** Relative to the recipe's file. */
  path?: string
  /** Float tensors are converted to this as they are read. */
  dtype?: DtypeName
  /** Of the one weights file, or of each weights file by name. */
  sha256?: string | Record<string, string>
}

export type RecipeOptions = Record<string, Setting>

/** Either an expression, or a method with its inputs. */
export interface RecipeStep {
  name?: string
  expression?: string
  method?: string
  base?: string
  inputs?: string[]
  options?: RecipeOptions
}

/** Options of the tensors that match. For each option the first rule that matches and sets it wins. */
export interface RecipeRule {
  match?: string | string[]
  /** From the first to the one before the second. */
  layers?: [number, number]
  /** Only for the merges of this step. */
  step?: string
  options: RecipeOptions
}

/** What must hold of every input. */
export interface RecipeExpectations {
  architecture?: string
  layers?: number
  tensors?: number
  parameters?: number
  dtype?: DtypeName
  sameTokenizer?: boolean
}

/** A recipe that was read but not checked, with the places of its parts. */
export class RecipeDocument {
  constructor(
    readonly value: unknown,
    /** Undefined for a recipe that is an object, or that was converted: its paths start from the working directory. */
    readonly file: string | undefined,
    readonly locate: Locate,
    /** What to know about the conversion of a configuration of mergekit, in words; undefined for a recipe. */
    readonly mergekitNotes?: readonly string[],
  ) {}
}

/** A recipe that is an object; its places are paths of keys. */
export function recipeObject(value: unknown): RecipeDocument {
  return new RecipeDocument(value, undefined, (path) => ({ text: pathText(path) || 'recipe', order: 0 }))
}

/**
 * What a merge is told by: an expression, the path of a file (.yaml, .yml or .json) with a recipe or a configuration of mergekit,
 * what `readRecipe` has read, or a recipe as an object.
 */
export type RecipeSource = string | Recipe | RecipeDocument
