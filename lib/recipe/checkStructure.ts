import { readFileSync } from 'node:fs'
import { Ajv2020, type DefinedError, type ValidateFunction } from 'ajv/dist/2020.js'
import { invalidArgument, nearestName } from '../validate.js'
import { type Path, type Problems, pathText } from './problems.js'
import type { Recipe, RecipeRule, RecipeStep } from './recipe.js'

let compiled: ValidateFunction | undefined

/** The JSON Schema of recipes, recipes/recipe.schema.json. */
function validator(): ValidateFunction {
  if (compiled) return compiled
  const schema = JSON.parse(readFileSync(new URL('../../recipes/recipe.schema.json', import.meta.url), 'utf8'))
  compiled = new Ajv2020({
    allErrors: true,
    verbose: true,
    strict: true,
    strictRequired: false,
    allowUnionTypes: true,
  }).compile(schema)
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
  const validate = validator()
  const errors = validate(value) ? [] : ((validate.errors ?? []) as DefinedError[])
  for (const error of errors) report(error, value, problems)
  const paths = errors.map(({ instancePath }) => pathOf(instancePath, value))
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

function report(error: DefinedError, root: unknown, problems: Problems): void {
  const path = pathOf(error.instancePath, root)
  if (/\/(oneOf|anyOf)\//.test(error.schemaPath)) return // a branch; the alternative itself is reported
  // A comment of the schema says in words what is expected there.
  const expected = (error.parentSchema as { $comment: string }).$comment
  if (error.keyword === 'additionalProperties') unknownKey(error, path, problems)
  else if (error.keyword === 'required') problems.add(path, `Expected the key ${error.params.missingProperty}`)
  else if (error.keyword !== 'oneOf' && error.keyword !== 'anyOf') {
    problems.add(path, invalidArgument(expected, pathText(path) || 'the recipe', error.data).message)
  } else if (isMapping(error.data)) problems.add(path, `Expected ${expected}`)
}

const isMapping = (value: unknown): boolean => typeof value === 'object' && value !== null && !Array.isArray(value)

function unknownKey(
  error: Extract<DefinedError, { keyword: 'additionalProperties' }>,
  path: Path,
  problems: Problems,
): void {
  const key = error.params.additionalProperty
  const known = Object.keys((error.parentSchema as { properties: object }).properties).filter(
    (name) => name !== '$schema',
  )
  const near = nearestName(key, known)
  const advice = near ? `did you mean ${near}?` : `expected one of ${known.join(', ')}`
  problems.add([...path, key], `Unknown key ${JSON.stringify(key)}: ${advice}`, { key: true })
}

/** A JSON pointer as keys and positions. */
function pathOf(pointer: string, root: unknown): (string | number)[] {
  let value: unknown = root
  return pointer
    .split('/')
    .slice(1)
    .map((part) => {
      const key = part.replaceAll('~1', '/').replaceAll('~0', '~')
      const step = Array.isArray(value) ? Number(key) : key
      value = (value as Record<string | number, unknown> | undefined)?.[step]
      return step
    })
}
