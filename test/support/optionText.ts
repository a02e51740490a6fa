import { expected } from '../../lib/options/expected.js'
import { defaultSentence, defaultText, objectSchema, sentence } from '../../lib/options/jsonSchema.js'
import type { GroupOption, Option, Options } from '../../lib/options/option.js'

const width = 120

/** The interfaces of a group and of the groups in it, but for those in `elsewhere`. */
export function interfaceText(group: GroupOption, elsewhere: readonly string[] = []): string {
  const properties = Object.entries(group.options).map(
    ([name, option]) => `${comment(remark(option), '  ')}  ${name}${option.required ? '' : '?'}: ${typeText(option)}`,
  )
  const text = [
    `${comment(sentence(group.meaning), '')}export interface ${group.interface} {`,
    ...properties.map((property, i) => (option(group, i).required ? property : `${property} | undefined`)),
    '}',
  ].join('\n')
  const inner = Object.values(group.options).filter((each) => each.type === 'group')
  const others = inner.filter((each) => !elsewhere.includes(each.interface))
  return [text, ...others.map((each) => interfaceText(each, elsewhere))].join('\n\n')
}

const option = (group: GroupOption, i: number): Option => Object.values(group.options)[i] as Option

/** Meaning, range and default. */
function remark(each: Option): string {
  const said = each.type === 'integer' || each.type === 'number' || each.type === 'size'
  return [sentence(each.meaning), said ? sentence(expected(each)) : '', defaultSentence(each)].filter(Boolean).join(' ')
}

function typeText(each: Option): string {
  switch (each.type) {
    case 'integer':
    case 'number':
      return each.orNull ? 'number | null' : 'number'
    case 'boolean':
      return 'boolean'
    case 'choice':
      return [...each.choices, ...(each.alsoKnown ?? [])]
        .map((choice) => (typeof choice === 'number' ? `${choice}` : `'${choice}'`))
        .join(' | ')
    case 'text':
      return 'string'
    case 'size':
      return 'number | string'
    case 'list':
      return 'readonly string[]'
    case 'group':
      return each.interface
    case 'other':
      return each.typescript
  }
}

function comment(text: string, indent: string): string {
  if (text === '') return ''
  const single = `${indent}/** ${text} */`
  if (single.length <= width) return `${single}\n`
  const lines = wrapped(text, width - indent.length - 3).map((line) => `${indent} * ${line}`)
  return [`${indent}/**`, ...lines, `${indent} */`, ''].join('\n')
}

function wrapped(text: string, most: number): string[] {
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const last = lines.at(-1)
    if (last !== undefined && last.length + 1 + word.length <= most) lines[lines.length - 1] = `${last} ${word}`
    else lines.push(word)
  }
  return lines
}

/** A schema file. */
export function schemaText(title: string, group: GroupOption): string {
  const { properties, ...schema } = objectSchema(group.options) as { properties: object }
  const file = {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: `branchmerge ${title}`,
    description: sentence(group.meaning),
    $comment: expected(group),
    ...schema,
    properties: { $schema: { type: 'string', $comment: 'the address of a JSON Schema' }, ...properties },
  }
  return `${JSON.stringify(file, null, 2)}\n`
}

/** Options as a table of the documentation. */
export function optionTable(options: Options): string {
  const rows = Object.entries(options).map(([name, each]) => {
    const text = each.required ? 'required' : (defaultText(each) ?? '')
    const meaning = [each.meaning, each.more].filter(Boolean).join('. ')
    return `| \`${name}\` | ${valueText(each)} | ${text} | ${meaning} |`
  })
  return ['| key | value | default | meaning |', '| --- | --- | --- | --- |', ...rows].join('\n')
}

function valueText(each: Option): string {
  if (each.type === 'choice') return each.choices.map((choice) => `\`${choice}\``).join(', ')
  if (each.type === 'size') return 'bytes, or `5GB`, `2GiB`'
  if (each.type === 'boolean') return '`true`, `false`'
  return expected(each).replace(/^an? /, '')
}

/** A page with the tables between `<!-- options NAME -->` and `<!-- end -->` written anew. */
export function withTables(page: string, tables: Readonly<Record<string, string>>): string {
  return page.replace(/(<!-- options (\S+) -->\n)[\s\S]*?(\n<!-- end -->)/g, (_, begin, name, end) => {
    const table = tables[name]
    if (table === undefined) throw new Error(`No options are called ${name}`)
    return `${begin}${table}${end}`
  })
}
