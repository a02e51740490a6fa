import { expected, numberText } from './expected.js'
import { allOptions, type NumberOption, type Option, type Options } from './option.js'

const sizePattern = '^[0-9]+(\\.[0-9]+)? ?([KMGTkmgt]?[Bb]|[KMGTkmgt][Ii][Bb])?$'

/** The JSON Schema of an option. `$comment` is what messages say is expected there (lib/recipe/schemaProblems.ts). */
export function jsonSchema(option: Option): object {
  if (option.type === 'other') return { ...described(option), ...option.schema }
  return { ...described(option), $comment: expected(option), ...constraints(option) }
}

function described(option: Option): object {
  const sentences = [sentence(option.meaning), defaultSentence(option)].filter(Boolean).join(' ')
  return sentences === '' ? {} : { description: sentences }
}

function constraints(option: Exclude<Option, { type: 'other' }>): object {
  switch (option.type) {
    case 'integer':
    case 'number':
      return { type: option.orNull ? [option.type, 'null'] : option.type, ...bounds(option) }
    case 'boolean':
      return { type: 'boolean' }
    case 'choice':
      return { enum: [...option.choices, ...(option.alsoKnown ?? [])] }
    case 'size':
      return { type: ['integer', 'string'], minimum: option.least, pattern: sizePattern }
    case 'text':
      return { type: 'string', minLength: 1, ...(option.pattern !== undefined && { pattern: option.pattern }) }
    case 'list':
      return {
        type: 'array',
        ...(option.least !== undefined && { minItems: option.least }),
        ...(option.most !== undefined && { maxItems: option.most }),
        items: jsonSchema(option.items),
      }
    case 'group':
      return objectSchema(allOptions(option))
  }
}

function bounds({ least, most, above, below }: NumberOption): object {
  return {
    ...(least !== undefined && { [above ? 'exclusiveMinimum' : 'minimum']: least }),
    ...(most !== undefined && { [below ? 'exclusiveMaximum' : 'maximum']: most }),
  }
}

/** An object that has these keys and no others. */
export function objectSchema(options: Options): object {
  const required = Object.keys(options).filter((name) => options[name]?.required)
  return {
    type: 'object',
    additionalProperties: false,
    ...(required.length > 0 && { required }),
    properties: Object.fromEntries(Object.entries(options).map(([name, option]) => [name, jsonSchema(option)])),
  }
}

/** A meaning as a sentence of plain text. */
export function sentence(meaning: string): string {
  if (meaning === '') return ''
  const plain = meaning.replace(/\[([^\]]+)\]\(([^)#]+)[^)]*\)/g, 'docs/$2').replaceAll('`', '')
  // A name in backquotes keeps its letters.
  const first = meaning.startsWith('`') ? plain.charAt(0) : plain.charAt(0).toUpperCase()
  return `${first}${plain.slice(1)}.`
}

/** "Default: 5GB.", or nothing. */
export function defaultSentence(option: Option): string {
  const text = defaultText(option)
  return text === undefined ? '' : `Default: ${text.replaceAll('`', '')}.`
}

/** What an option is where nobody sets it, in words; undefined where nothing is said of it. */
export function defaultText(option: Option): string | undefined {
  if (option.defaultText !== undefined) return option.defaultText
  const value = 'default' in option ? option.default : undefined
  if (value === undefined) return undefined
  return typeof value === 'number' ? numberText(value) : `${value}`
}
