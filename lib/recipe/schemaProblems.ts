import { Ajv2020, type DefinedError, type ValidateFunction } from 'ajv/dist/2020.js'
import { invalidArgument, isMapping, nearestName } from '../validate.js'
import { type Path, type Problems, pathText } from './problems.js'

/**
 * A JSON Schema as a function. Every part that can be wrong says in `$comment` what is expected there.
 *
 * @param others - schemas to which it refers, by the names of their files
 */
export function compileSchema(schema: object, others: Readonly<Record<string, object>> = {}): ValidateFunction {
  const options = {
    allErrors: true,
    verbose: true,
    strict: true,
    strictRequired: false,
    allowUnionTypes: true,
    // That a schema of the package is one is for its tests to show: to check it here takes longer than all else (schemas.test.ts).
    meta: false,
    validateSchema: false,
  } as const
  const ajv = new Ajv2020(options)
  for (const [name, other] of Object.entries(others)) ajv.addSchema(other, name)
  return ajv.compile(schema)
}

export interface SchemaPlace {
  /** What the whole value is called where it is wrong itself. */
  subject: string
  /** Where the value stands in the document. */
  base?: Path
}

/** Adds everything that a schema finds wrong with `value` to the problems. Returns the paths of it, from `value`. */
export function schemaProblems(
  validate: ValidateFunction,
  value: unknown,
  problems: Problems,
  { subject, base = [] }: SchemaPlace,
): (string | number)[][] {
  const errors = validate(value) ? [] : ((validate.errors ?? []) as DefinedError[])
  return errors.map((error) => {
    const path = pathOf(error.instancePath, value)
    report(error, path, { subject, base }, problems)
    return path
  })
}

function report(error: DefinedError, path: Path, place: Required<SchemaPlace>, problems: Problems): void {
  // A branch of alternatives; they are reported themselves, and so is what is wrong behind an if.
  if (/\/(oneOf|anyOf)\//.test(error.schemaPath) || error.keyword === 'if') return
  const expected = (error.parentSchema as { $comment: string }).$comment
  const whole = [...place.base, ...path]
  if (error.keyword === 'additionalProperties') unknownKey(error, whole, problems)
  else if (error.keyword === 'required') problems.add(whole, `Expected the key ${error.params.missingProperty}`)
  else if (error.keyword !== 'oneOf' && error.keyword !== 'anyOf') {
    problems.add(whole, invalidArgument(expected, pathText(path) || place.subject, error.data).message)
  } else if (isMapping(error.data)) problems.add(whole, `Expected ${expected}`)
}

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
