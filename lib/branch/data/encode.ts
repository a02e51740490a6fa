import { createHash } from 'node:crypto'
import type { TokenizerFiles } from '../../checkpoint/tokenizerFiles.js'
import { BadRow } from './badRow.js'
import { ChatTemplate, type Turn } from './chatTemplate.js'
import type { Conversation } from './conversation.js'
import type { ResolvedData } from './options.js'
import { isUnclosed, placeReasoning, type Thinking, withoutEarlierReasoning } from './reasoning.js'
import { TextTokenizer } from './tokenizer.js'
import { fitTurns } from './truncate.js'

/** All that tokens depend on besides the rows; plain data, so that it can be sent to a thread. */
export interface Encoding
  extends Pick<
    ResolvedData,
    'think' | 'missingThink' | 'train' | 'maskHistory' | 'cutoffLength' | 'excessLengthStrategy' | 'packing'
  > {
  tokenizer: TokenizerFiles
  templateName: string
  templateText: string
  /** Highest id that is allowed, plus 1. */
  vocabularySize: number
}

export interface EncodedDocument {
  tokens: Uint32Array
  /** Begin and end of one trained stretch after the other, ascending; a begin is at least 1. */
  spans: number[]
  /** Tokens before truncation. */
  fullLength: number
  thinking: Thinking
  /** It is longer than the cutoff and excessLengthStrategy is drop: it has no tokens. */
  dropped: boolean
}

/** Turns conversations into tokens. */
export class Encoder {
  readonly tokenizer: TextTokenizer
  readonly template: ChatTemplate
  private readonly special: RegExp | undefined
  private readonly cutoff: number

  /** @throws ERR_TOKENIZER, ERR_CHAT_TEMPLATE */
  constructor(readonly encoding: Encoding) {
    this.tokenizer = new TextTokenizer(encoding.tokenizer)
    this.template = new ChatTemplate(encoding.templateName, encoding.templateText, this.tokenizer.namedTokens)
    this.special = specialTokenPattern(this.tokenizer)
    this.cutoff = documentCutoff(encoding)
  }

  /** @throws BadRow */
  encode(conversation: Conversation): EncodedDocument {
    this.refuseSpecialTokens(conversation)
    const { maskHistory, train } = this.encoding
    const { turns, thinking } = this.turns(conversation)
    const ids = turns.map(({ source, target }) => ({ source: this.ids(source), target: this.ids(target) }))
    const lengths = ids.map(({ source, target }) => ({ source: source.length, target: target.length }))
    const fullLength = lengths.reduce((sum, { source, target }) => sum + source + target, 0)
    if (fullLength > this.cutoff && this.encoding.excessLengthStrategy === 'drop') {
      return { tokens: new Uint32Array(0), spans: [], fullLength, thinking, dropped: true }
    }
    const fitted = fitTurns(lengths, this.cutoff, maskHistory)
    // Where the last turn is served first, it is the first ones that are left out.
    const first = maskHistory ? ids.length - fitted.length : 0
    const tokens = new Uint32Array(fitted.reduce((sum, { source, target }) => sum + source + target, 0))
    const spans = new Spans()
    let position = 0
    for (const [i, { source, target }] of fitted.entries()) {
      const turn = ids[first + i] as (typeof ids)[number]
      tokens.set(turn.source.slice(0, source), position)
      tokens.set(turn.target.slice(0, target), position + source)
      if (train === 'all') spans.add(position, position + source)
      if (!maskHistory || i === fitted.length - 1) spans.add(position + source, position + source + target)
      position += source + target
    }
    if (spans.bounds.length === 0) throw new BadRow('truncation leaves no trained token: raise cutoffLength')
    const losesEnd = fitted.some(({ target }, i) =>
      this.losesEndOfReasoning(turns[first + i] as Turn, ids[first + i]?.target ?? [], target),
    )
    return { tokens, spans: spans.bounds, fullLength, thinking: losesEnd ? 'unclosed' : thinking, dropped: false }
  }

  /** Whether an answer of which `kept` tokens stay has begun its reasoning there and does not end it. */
  private losesEndOfReasoning({ source, target }: Turn, ids: readonly number[], kept: number): boolean {
    if (kept === ids.length || isUnclosed(source, target)) return false
    return kept > 0 && isUnclosed(source, this.tokenizer.decode(ids.slice(0, kept)))
  }

  private turns(conversation: Conversation): { turns: Turn[]; thinking: Thinking } {
    const { maskHistory } = this.encoding
    const asked = maskHistory ? withoutEarlierReasoning(conversation) : conversation
    const turns = this.template.turns(asked, maskHistory)
    // Of a history that is not trained, nothing is changed: it stays as the model will be asked.
    const placed = turns.map((turn, i) =>
      maskHistory && i < turns.length - 1 ? { turn, thinking: 'none' as const } : placeReasoning(turn, this.encoding),
    )
    return { turns: placed.map(({ turn }) => turn), thinking: placed.at(-1)?.thinking ?? 'none' }
  }

  private ids(text: string): number[] {
    const ids = this.tokenizer.encode(text)
    const odd = ids.findIndex((id) => !(id < this.encoding.vocabularySize))
    if (odd < 0) return ids
    const isUnknown = ids[odd] === undefined
    throw new BadRow(
      isUnknown
        ? 'the tokenizer has no token for a part of the text'
        : `the token ${ids[odd]} is beyond the vocabulary of ${this.encoding.vocabularySize}`,
    )
  }

  /** A text that spells a special token would become it: the end of an answer in the middle of one. */
  private refuseSpecialTokens({ messages }: Conversation): void {
    for (const { content } of messages) {
      const [token] = (this.special && content.match(this.special)) ?? []
      if (token !== undefined) throw new BadRow(`the text holds the special token ${token}`)
    }
  }
}

/** SHA-256 of what decides about tokens: the tokenizer's files and the template. */
export function encodingHash({ tokenizer, templateText }: Encoding): { tokenizer: string; template: string } {
  const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')
  return {
    tokenizer: sha256(`${sha256(tokenizer.tokenizer)} ${sha256(tokenizer.config)}`),
    template: sha256(templateText),
  }
}

/** LLaMA-Factory keeps one token of a pack for padding, so that a pack's documents come to one token less. */
export const documentCutoff = ({ cutoffLength, packing }: Pick<Encoding, 'cutoffLength' | 'packing'>): number =>
  packing === 'none' ? cutoffLength : cutoffLength - 1

function specialTokenPattern({ addedTokens }: TextTokenizer): RegExp | undefined {
  const texts = addedTokens.filter(({ content, special }) => special && !/^<\/?think>$/.test(content))
  if (texts.length === 0) return undefined
  return new RegExp(texts.map(({ content }) => content.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')).join('|'))
}

/** Stretches in their order; those that touch become one. */
class Spans {
  readonly bounds: number[] = []

  /** Nothing predicts the first token of a document. */
  add(from: number, end: number): void {
    const begin = Math.max(from, 1)
    if (begin >= end) return
    if (this.bounds.at(-1) === begin) this.bounds[this.bounds.length - 1] = end
    else this.bounds.push(begin, end)
  }
}
