import { expected } from '../../lib/options/expected.js'
import { defaultSentence, defaultText, objectSchema, sentence } from '../../lib/options/jsonSchema.js'
import { allOptions, type GroupOption, type Option, type Options } from '../../lib/options/option.js'
import { methodNames, methods } from '../../lib/recipe/methods.js'

const width = 120

/** The interfaces of groups, of the groups in them and of their bases, each once, but for those in `elsewhere`. */
export function interfacesText(groups: readonly GroupOption[], elsewhere: readonly string[] = []): string {
  const found = new Map<string, GroupOption>()
  const visit = (group: GroupOption) => {
    if (found.has(group.interface) || elsewhere.includes(group.interface)) return
    found.set(group.interface, group)
    if (group.base) visit(group.base)
    for (const each of Object.values(group.options)) if (each.type === 'group') visit(each)
  }
  for (const group of groups) visit(group)
  return [...found.values()].map(interfaceText).join('\n\n')
}

function interfaceText(group: GroupOption): string {
  const properties = Object.entries(group.options).map(
    ([name, option]) => `${comment(remark(option), '  ')}  ${name}${option.required ? '' : '?'}: ${typeText(option)}`,
  )
  const heritage = group.base ? ` extends ${group.base.interface}` : ''
  return [
    `${comment(sentence(group.meaning), '')}export interface ${group.interface}${heritage} {`,
    ...properties.map((property, i) => (option(group, i).required ? property : `${property} | undefined`)),
    '}',
  ].join('\n')
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
  const { properties, ...schema } = objectSchema(allOptions(group)) as { properties: object }
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
    return tableRow([`\`${name}\``, valueText(each), text, meaning])
  })
  return ['| key | value | default | meaning |', '| --- | --- | --- | --- |', ...rows].join('\n')
}

const tableRow = (cells: readonly string[]): string =>
  `|${cells.map((cell) => (cell === '' ? ' ' : ` ${cell.replaceAll('|', '\\|')} `)).join('|')}|`

function valueText(each: Option): string {
  if (each.type === 'choice') return each.choices.map((choice) => `\`${choice}\``).join(', ')
  if (each.type === 'size') return 'bytes, or `5GB`, `2GiB`'
  if (each.type === 'boolean') return '`true`, `false`'
  return expected(each).replace(/^an? /, '')
}

/** The methods of recipes as a table of the documentation. */
export function methodTable(): string {
  const rows = methodNames.map((name) => {
    const { aliases = [], base, inputs, summary, parameters } = methods[name]
    const also = aliases.length > 0 ? ` (also ${aliases.map((alias) => `\`${alias}\``).join(', ')})` : ''
    const count = inputs.least === inputs.most ? inputs.least : `${inputs.least}+`
    const settings = (each: boolean) =>
      Object.entries(parameters)
        .filter(([, parameter]) => (parameter.perInput ?? false) === each)
        .map(
          ([key, parameter]) => `\`${key}\` (${parameter.default === undefined ? 'required' : defaultText(parameter)})`,
        )
    const [own, shared] = [settings(true), settings(false)]
    const options = [own.length > 0 ? `*each* ${own.join(', ')}` : '', shared.join(', ')].filter(Boolean).join('; ')
    return tableRow([`\`${name}\`${also}`, summary, base === 'none' ? '' : base, `${count}`, options])
  })
  return ['| method | result | base | inputs | options (default) |', '| --- | --- | --- | --- | --- |', ...rows].join(
    '\n',
  )
}

/** A page with the tables between `<!-- options NAME -->` and `<!-- end -->` written anew. */
export function withTables(page: string, tables: Readonly<Record<string, string>>): string {
  return page.replace(/(<!-- options (\S+) -->\n)[\s\S]*?(\n<!-- end -->)/g, (_, begin, name, end) => {
    const table = tables[name]
    if (table === undefined) throw new Error(`No options are called ${name}`)
    return `${begin}${table}${end}`
  })
}
