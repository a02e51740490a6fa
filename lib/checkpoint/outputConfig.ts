import { findNodeAtLocation, type Node, parseTree } from 'jsonc-parser'
import type { ModelConfig } from './readConfig.js'

type ConfigText = Pick<ModelConfig, 'text'>

// Of all of these every byte stays that they do not change: parsing and printing would turn 1000000.0 into 1000000, which Python
// tells apart.

/** config.json of a converted model: its `torch_dtype` and `dtype` entries name the new dtype. */
export function configWithDtype({ text }: ConfigText, torchName: string): string {
  const entry = /("(?:torch_dtype|dtype)"\s*:\s*)(?:"[^"\\]*"|null)/g
  if (entry.test(text)) return text.replace(entry, `$1"${torchName}"`)
  const root = parseTree(text) as Node
  return withMember(text, root, 'torch_dtype', JSON.stringify(torchName))
}

/**
 * config.json of a model whose embeddings had `before` rows and have `rows`: `vocab_size` entries of so many, or of more than
 * there are now, become it.
 */
export function configWithVocabulary(
  { text }: ConfigText,
  { before, rows }: { before: number | undefined; rows: number },
): string {
  return text.replace(/("vocab_size"\s*:\s*)(\d+)/g, (entry, key: string, size: string) =>
    Number(size) === before || Number(size) > rows ? `${key}${rows}` : entry,
  )
}

/** What config.json says of the weights of a quantised model, which the output's are not. */
const quantisationKeys = ['quantization_config', 'compression_config']

/** config.json without what it says of quantisation, also of the text model. */
export function configWithoutQuantisation({ text }: ConfigText): string {
  const paths = quantisationKeys.flatMap((key) => [[key], ['text_config', key]])
  return paths.reduce(withoutMember, text)
}

/** config.json that ties the output head to the embedding, or does not: at the top, and for the text model where there is one. */
export function configWithTies({ text }: ConfigText, tied: boolean): string {
  return [['text_config'], []].reduce((before, path) => {
    const owner = findNodeAtLocation(parseTree(before) as Node, path)
    return owner?.type === 'object' ? withMember(before, owner, 'tie_word_embeddings', String(tied)) : before
  }, text)
}

/** The text with a member of the object `owner` set to `value`; a new one comes first. */
function withMember(text: string, owner: Node, key: string, value: string): string {
  const existing = findNodeAtLocation(owner, [key])
  if (existing) return replaced(text, existing.offset, existing.offset + existing.length, value)
  const start = owner.offset + 1
  const first = owner.children?.[0]
  const space = first ? text.slice(start, first.offset) : ''
  return replaced(text, start, start, `${space}"${key}": ${value}${first ? ',' : ''}`)
}

/** The text without the member at `path`, and the comma and white space that went with it. */
function withoutMember(text: string, path: string[]): string {
  const member = findNodeAtLocation(parseTree(text) as Node, path)?.parent
  const siblings = member?.parent?.children
  if (!member || !siblings) return text
  const place = siblings.indexOf(member)
  const [previous, next] = [siblings[place - 1], siblings[place + 1]]
  const end = member.offset + member.length
  if (next) return replaced(text, member.offset, next.offset, '')
  if (previous) return replaced(text, previous.offset + previous.length, end, '')
  return replaced(text, member.offset, end, '')
}

const replaced = (text: string, begin: number, end: number, by: string): string =>
  text.slice(0, begin) + by + text.slice(end)
