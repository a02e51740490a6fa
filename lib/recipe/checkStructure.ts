import { readFileSync } from 'node:fs'
import type { ValidateFunction } from 'ajv/dist/2020.js'
import { isMapping } from '../validate.js'
import type { Path, Problems } from './problems.js'
import type { Recipe, RecipeRule, RecipeStep } from './recipe.js'
import { compileSchema, schemaProblems } from './schemaProblems.js'

let compiled: ValidateFunction | undefined

/** The JSON Schema of recipes, recipes/recipe.schema.json. */
function validator(): ValidateFunction {
  compiled ??= compileSchema(
    JSON.parse(readFileSync(new URL('../../recipes/recipe.schema.json', import.meta.url), 'utf8')),
  )
  return compiled
}

/** A recipe of the right structure; what was wrong in it is left out. */
export type SoundRecipe = Omit<Recipe, 'steps' | 'rules'> & {
  steps?: (RecipeStep | undefined)[]
  rules?: (RecipeRule | undefined)[]
}

export interface Structure {
  /** Undefined when the value is no object. */
  sound: SoundRecipe | undefined
  /** Top-level keys with something wrong below them; '' when the recipe itself is. */
  broken: ReadonlySet<string>
}

/** Adds everything that the schema finds wrong to the problems, and returns the rest, which other checks can go on with. */
export function checkStructure(value: unknown, problems: Problems): Structure {
  const paths = schemaProblems(validator(), value, problems, { subject: 'the recipe' })
  return {
    sound: isMapping(value) ? withoutBroken(value as Recipe, paths) : undefined,
    broken: new Set(paths.map(([key]) => String(key ?? ''))),
  }
}

/** An entry that is wrong leaves a hole in its list and is gone from its map; any other value is gone whole. */
function withoutBroken(recipe: Recipe, broken: readonly Path[]): SoundRecipe {
  const sound: Record<string, unknown> = { ...recipe }
  for (const [key, entry] of broken) {
    if (key === undefined) continue
    const value = sound[key]
    if (Array.isArray(value) && entry !== undefined) {
      sound[key] = value.with(entry as number, undefined)
    } else if ((key === 'models' || key === 'options') && entry !== undefined) {
      const { [entry]: _, ...others } = value as Record<string, unknown>
      sound[key] = others
    } else delete sound[key]
  }
  return sound as SoundRecipe
}
