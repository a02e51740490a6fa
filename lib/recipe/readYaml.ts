import {
  CST,
  type Document,
  isAlias,
  isCollection,
  isMap,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  type Node,
  type Pair,
  parseAllDocuments,
  visit,
  type YAMLError,
} from 'yaml'
import { BranchMergeError } from '../errors.js'
import { type Locate, type Path, Problems } from './problems.js'

/** Recipes have a few kilobytes. Block collections cannot be nested deeper than 724 in so many: each level indents. */
const maxCharacters = 2 ** 18
/** Nodes that all aliases together may expand to; stops texts that grow exponentially. */
const maxAliasCount = 100
const maxDepth = 100

export interface YamlDocument {
  value: unknown
  locate: Locate
}

/**
 * The documents of a YAML 1.2 text (JSON is YAML), with the places of their values. Only plain data: no tags beyond the core
 * schema, no merge keys, no key twice.
 *
 * @param file - as messages name it
 * @throws ERR_RECIPE with every problem of syntax, each with line and column
 */
export function readYaml(text: string, file: string): YamlDocument[] {
  if (text.length > maxCharacters) {
    throw new BranchMergeError(
      'ERR_RECIPE',
      `Expected at most ${maxCharacters} characters in ${file}, not ${text.length}`,
    )
  }
  const lines = new LineCounter()
  const place = (offset: number) => {
    const { line, col } = lines.linePos(offset)
    return { text: `${file}:${line}:${col}`, order: offset }
  }
  const documents = parse(text, file, lines)
  // The path of these problems is a position in the text.
  const problems = new Problems(file, ([offset]) => place(offset as number))
  for (const document of documents) {
    for (const { pos, message } of faults(document)) problems.add([pos[0]], firstLine(message))
    checkNodes(document, problems)
  }
  problems.throwIfAny()
  return documents.map((document) => ({
    value: plainValue(document, file),
    locate: (path, options = {}) => place(positionOf(document, text, path, options)),
  }))
}

function parse(text: string, file: string, lineCounter: LineCounter): Document.Parsed[] {
  checkDepth(text, file)
  // Duplicate keys are looked for in checkNodes, in linear time.
  const options = { lineCounter, prettyErrors: false, uniqueKeys: false, logLevel: 'silent', merge: false } as const
  return [...parseAllDocuments(text, { ...options, version: '1.2', schema: 'core' })] as Document.Parsed[]
}

/** The parser is recursive, and a stack that overflows in it can end the process: so count before it runs. */
function checkDepth(text: string, file: string): void {
  let [flow, line] = [0, 0]
  for (const source of new Lexer().lex(text)) {
    const type = CST.tokenType(source)
    if (type === 'newline') line = 0
    else if (type === 'flow-seq-start' || type === 'flow-map-start') flow++
    else if (type === 'flow-seq-end' || type === 'flow-map-end') flow--
    else if (type === 'seq-item-ind' || type === 'explicit-key-ind') line++
    if (flow > maxDepth || line > maxDepth) {
      throw new BranchMergeError('ERR_RECIPE', `Expected at most ${maxDepth} levels in ${file}`)
    }
  }
}

/** Warnings are unknown directives and tags; checkNodes names the latter. */
function faults(document: Document.Parsed): YAMLError[] {
  return [...document.errors, ...document.warnings.filter(({ code }) => code !== 'TAG_RESOLVE_FAILED')]
}

const firstLine = (message: string): string => message.split('\n', 1)[0] as string

const coreTags = ['str', 'int', 'float', 'bool', 'null', 'seq', 'map'].map((name) => `tag:yaml.org,2002:${name}`)

function checkNodes(document: Document.Parsed, problems: Problems): void {
  const fault = (node: Node, message: string) => problems.add([node.range?.[0] ?? 0], message)
  const checkTag = ({ tag, range }: Node & { tag?: string }) => {
    if (tag && !coreTags.includes(tag)) problems.add([range?.[0] ?? 0], `Expected plain data, not the tag ${tag}`)
  }
  visit(document, {
    Alias(_, node, ancestors) {
      if (ancestors.includes(node.resolve(document) as Node)) fault(node, `Expected no alias inside its own anchor`)
    },
    Scalar: (_, node) => checkTag(node),
    Seq: (_, node) => checkTag(node),
    Map(_, node) {
      checkTag(node)
      const seen = new Set<string>()
      for (const { key } of node.items) {
        const name = keyName(key)
        if (name === undefined) fault(key as Node, 'Expected a word as key')
        else if (seen.has(name)) fault(key as Node, `Expected the key ${JSON.stringify(name)} once`)
        else seen.add(name)
      }
    },
  })
}

function keyName(key: unknown): string | undefined {
  return isScalar(key) && ['string', 'number', 'boolean'].includes(typeof key.value) ? String(key.value) : undefined
}

function plainValue(document: Document.Parsed, file: string): unknown {
  try {
    return document.toJS({ maxAliasCount })
  } catch (cause) {
    // ReferenceError: too many aliases, or one of an anchor that is not there.
    if (cause instanceof ReferenceError || cause instanceof RangeError) {
      throw new BranchMergeError('ERR_RECIPE', `Expected fewer aliases in ${file}: ${cause.message}`, { cause })
    }
    throw cause
  }
}

/** Where the value at a path stands in the text, or the nearest value around it that exists. */
function positionOf(
  document: Document.Parsed,
  text: string,
  path: Path,
  { key, offset }: { key?: boolean; offset?: number },
): number {
  let node: unknown = document.contents
  let position = startOf(node) ?? 0
  for (const [i, part] of path.entries()) {
    if (isAlias(node)) node = node.resolve(document)
    const pair = isMap(node) ? node.items.find((item: Pair) => keyName(item.key) === String(part)) : undefined
    const next = isSeq(node) ? node.items[part as number] : pair?.value
    const wantsKey = pair && (next === null || next === undefined || (key && i === path.length - 1))
    const found = startOf(wantsKey ? pair.key : next)
    if (found === undefined) return position
    position = found
    node = next
  }
  return offset === undefined ? position : position + offsetInSource(node, text, offset)
}

function startOf(node: unknown): number | undefined {
  return isScalar(node) || isCollection(node) || isAlias(node) ? node.range?.[0] : undefined
}

/** A position in a text value as one in its source, where the source holds it word for word; its beginning otherwise. */
function offsetInSource(node: unknown, text: string, offset: number): number {
  if (!isScalar(node) || typeof node.value !== 'string' || !node.range) return 0
  const begin = text.slice(node.range[0], node.range[1]).indexOf(node.value.trimEnd())
  return begin < 0 ? 0 : begin + Math.min(offset, node.value.trimEnd().length)
}
