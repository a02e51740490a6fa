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
  type YAMLMap,
} from 'yaml'
import { BranchMergeError } from '../errors.js'
import { type Locate, type Path, Problems } from './problems.js'

/** Recipes have a few kilobytes. Block collections cannot be nested deeper than 724 in so many: each level indents. */
const maxCharacters = 2 ** 18
/** Nodes that all aliases together may expand to; stops texts that grow exponentially. */
const maxAliasCount = 100
/** The same for merge keys: as many nodes as a text without them can have. */
const maxMergedNodes = maxCharacters
const maxDepth = 100

export interface YamlDocument {
  value: unknown
  locate: Locate
}

/**
 * The documents of a YAML 1.2 text (JSON is YAML), with the places of their values. Only plain data: no tags beyond the core
 * schema, no key twice. Merge keys (`<<: *anchor`), which YAML 1.1 has, are resolved, as PyYAML does it.
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
  const read = documents.map((document) => ({ document, targets: aliasTargets(document) }))
  for (const { document, targets } of read) {
    for (const { pos, message } of faults(document)) problems.add([pos[0]], firstLine(message))
    checkNodes(document, targets, problems)
  }
  problems.throwIfAny()
  for (const { document, targets } of read) resolveMergeKeys(document, targets, file)
  return read.map(({ document, targets }) => ({
    value: plainValue(document, file),
    locate: (path, options = {}) => place(positionOf({ document, targets, text }, path, options)),
  }))
}

function parse(text: string, file: string, lineCounter: LineCounter): Document.Parsed[] {
  checkDepth(text, file)
  // Duplicate keys are looked for in checkNodes, in linear time. The parser's own merge keys cost exponential time in a text
  // that nests them, and have no places.
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

/** What each alias stands for. Alias.resolve of the parser goes through the whole document every time. */
type AliasTargets = ReadonlyMap<unknown, Node>

function aliasTargets(document: Document.Parsed): AliasTargets {
  const anchors = new Map<string, Node>()
  const targets = new Map<unknown, Node>()
  visit(document, {
    Node(_, node) {
      if (!isAlias(node)) {
        if (node.anchor !== undefined) anchors.set(node.anchor, node)
        return
      }
      const target = anchors.get(node.source)
      if (target) targets.set(node, target)
    },
  })
  return targets
}

const coreTags = ['str', 'int', 'float', 'bool', 'null', 'seq', 'map'].map((name) => `tag:yaml.org,2002:${name}`)

function checkNodes(document: Document.Parsed, targets: AliasTargets, problems: Problems): void {
  const fault = (node: Node, message: string) => problems.add([node.range?.[0] ?? 0], message)
  const checkTag = ({ tag, range }: Node & { tag?: string }) => {
    if (tag && !coreTags.includes(tag)) problems.add([range?.[0] ?? 0], `Expected plain data, not the tag ${tag}`)
  }
  visit(document, {
    Alias(_, node, ancestors) {
      if (ancestors.includes(targets.get(node) as Node)) fault(node, `Expected no alias inside its own anchor`)
    },
    Scalar: (_, node) => checkTag(node),
    Seq: (_, node) => checkTag(node),
    Map(_, node) {
      checkTag(node)
      const seen = new Set<string>()
      for (const { key, value } of node.items) {
        const name = keyName(key)
        if (isMergeKey(key) && !mergeSources(value, targets)) {
          fault(key as Node, 'Expected a mapping, an alias of one (*name) or a list of those after the merge key <<')
        }
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

/** A plain `<<`; a quoted one is a word like any other. */
const isMergeKey = (key: unknown): boolean => isScalar(key) && key.value === '<<' && key.type === 'PLAIN'

/** The mappings that a merge key takes in, the strongest first; undefined where it has anything else. */
function mergeSources(value: unknown, targets: AliasTargets): YAMLMap[] | undefined {
  const target = (node: unknown) => (isAlias(node) ? targets.get(node) : node)
  const whole = target(value)
  const sources = (isSeq(whole) ? whole.items : [whole]).map(target)
  return sources.every((source) => isMap(source)) ? sources : undefined
}

/**
 * Puts the keys that merge keys take in into their mappings, where those do not have them. The nodes stay the same, so their
 * places are those in the text.
 *
 * @throws ERR_RECIPE when the result is much larger than the text
 */
function resolveMergeKeys(document: Document.Parsed, targets: AliasTargets, file: string): void {
  const maps: YAMLMap[] = []
  visit(document, { Map: (_, node) => void maps.push(node) })
  const done = new Set<YAMLMap>()
  let merged = 0
  const refuseMany = (nodes: number) => {
    if (nodes > maxMergedNodes) {
      throw new BranchMergeError('ERR_RECIPE', `Expected fewer merge keys (<<) in ${file}: they repeat too much of it`)
    }
  }
  const resolveMap = (map: YAMLMap): YAMLMap => {
    if (done.has(map)) return map
    done.add(map)
    const own = new Set(map.items.filter(({ key }) => !isMergeKey(key)).map(({ key }) => keyName(key)))
    map.items = map.items.flatMap((pair) => {
      if (!isMergeKey(pair.key)) return [pair]
      return (mergeSources(pair.value, targets) as YAMLMap[]).flatMap((source) => {
        const { items } = resolveMap(source)
        merged += items.length
        refuseMany(merged)
        return items.filter(({ key }) => {
          const name = keyName(key)
          if (own.has(name)) return false
          own.add(name)
          return true
        })
      })
    })
    return map
  }
  for (const map of maps) resolveMap(map)
  if (merged > 0) refuseMany(expandedNodes(document.contents))
}

/** How many nodes a value has where nodes that merge keys share count each time. */
function expandedNodes(root: unknown): number {
  const known = new Map<unknown, number>()
  const count = (node: unknown): number => {
    if (!isCollection(node)) return 1
    const before = known.get(node)
    if (before !== undefined) return before
    const children = isMap(node) ? node.items.map(({ value }) => value) : node.items
    const total = children.reduce<number>((sum, child) => sum + count(child), 1)
    known.set(node, total)
    return total
  }
  return count(root)
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
  { document, targets, text }: { document: Document.Parsed; targets: AliasTargets; text: string },
  path: Path,
  { key, offset }: { key?: boolean; offset?: number },
): number {
  let node: unknown = document.contents
  let position = startOf(node) ?? 0
  for (const [i, part] of path.entries()) {
    if (isAlias(node)) node = targets.get(node)
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
