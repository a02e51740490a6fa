import { createHash } from 'node:crypto'
import type { TokenizerFiles } from '../checkpoint/tokenizerFiles.js'
import { BadRow } from './badRow.js'
import { ChatTemplate, type Turn } from './chatTemplate.js'
import { type ControlTokens, controlTokens } from './controlTokens.js'
import type { Conversation } from './conversation.js'
import { LazyTokens } from './lazyTokens.js'
import type { ResolvedData } from './options.js'
import { parseJson, textsIn } from './parseJson.js'
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
  /** There are more than fullLength; the rest of a long row is not counted, fullLength is beyond the cutoff then. */
  isLonger: boolean
  thinking: Thinking
  /** It is longer than the cutoff and excessLengthStrategy is drop: it has no tokens. */
  dropped: boolean
}

/** Of longer documents no more tokens are made than can be kept. */
const countedCharacters = 2 ** 18

/** Turns conversations into tokens. */
export class Encoder {
  readonly tokenizer: TextTokenizer
  readonly template: ChatTemplate
  private readonly control: ControlTokens
  private readonly cutoff: number

  /** @throws ERR_TOKENIZER, ERR_CHAT_TEMPLATE */
  constructor(readonly encoding: Encoding) {
    this.tokenizer = new TextTokenizer(encoding.tokenizer)
    this.template = new ChatTemplate(encoding.templateName, encoding.templateText, this.tokenizer.namedTokens)
    this.control = controlTokens(this.tokenizer, encoding.templateText)
    this.cutoff = documentCutoff(encoding)
  }

  /**
   * The documents of a conversation: one, or more where the template writes what came before an answer in another form than
   * what was trained before it. A later one that only repeats the beginning of the first, because the rest does not fit, is
   * left out, as turns are that do not fit.
   *
   * @throws BadRow
   */
  encode(conversation: Conversation): EncodedDocument[] {
    this.refuseControlTokens(conversation)
    const { maskHistory } = this.encoding
    const asked = maskHistory ? withoutEarlierReasoning(conversation) : conversation
    const documents = this.template.documents(asked, maskHistory)
    if (documents.length === 0) throw new BadRow('the last answer is not trained: it has weight 0 or train false')
    const encoded: EncodedDocument[] = []
    for (const [i, turns] of documents.entries()) {
      const ids = this.turnIds(turns)
      const isLost = i > 0 && (ids[0]?.source.upTo(this.cutoff) ?? 0) >= this.cutoff
      if (!isLost || this.encoding.excessLengthStrategy === 'drop') encoded.push(this.document(ids))
      // It counts as truncated, because turns of the row are missing.
      else (encoded.at(-1) as EncodedDocument).fullLength += (ids[0] as TurnIds).source.count
    }
    return encoded
  }

  private document(turns: readonly TurnIds[]): EncodedDocument {
    const { maskHistory, train } = this.encoding
    const thinking = turns.at(-1)?.thinking ?? 'none'
    const length = this.fullLength(turns)
    if (length.fullLength > this.cutoff && this.encoding.excessLengthStrategy === 'drop') {
      return { tokens: new Uint32Array(0), spans: [], ...length, thinking, dropped: true }
    }
    const fitted = fitTurns(turns, this.cutoff, maskHistory)
    // Where the last turn is served first, it is the first ones that are left out.
    const first = maskHistory ? turns.length - fitted.length : 0
    const tokens = new Uint32Array(fitted.reduce((sum, { source, target }) => sum + source + target, 0))
    const spans = new Spans()
    let position = 0
    for (const [i, { source, target }] of fitted.entries()) {
      const turn = turns[first + i] as TurnIds
      tokens.set(turn.source.ids.slice(0, source), position)
      tokens.set(turn.target.ids.slice(0, target), position + source)
      if (train === 'all' && !turn.turn.repeats) spans.add(position, position + source)
      const isTrained = turn.turn.trained && (!maskHistory || i === fitted.length - 1)
      if (isTrained) spans.add(position + source, position + source + target)
      position += source + target
    }
    if (spans.bounds.length === 0) throw new BadRow('truncation leaves no trained token: raise cutoffLength')
    const losesEnd = fitted.some(({ target }, i) => this.losesEndOfReasoning(turns[first + i] as TurnIds, target))
    return { tokens, spans: spans.bounds, ...length, thinking: losesEnd ? 'unclosed' : thinking, dropped: false }
  }

  private lazyTokens(text: string): LazyTokens {
    return new LazyTokens(text, (part) => this.ids(part), this.cutoff)
  }

  /** Of a long document only that it is longer than the cutoff. */
  private fullLength(turns: readonly TurnIds[]): Pick<EncodedDocument, 'fullLength' | 'isLonger'> {
    const characters = turns.reduce((sum, { turn: { source, target } }) => sum + source.length + target.length, 0)
    const most = characters <= countedCharacters ? Number.POSITIVE_INFINITY : this.cutoff + 1
    let fullLength = 0
    for (const text of turns.flatMap(({ source, target }) => [source, target])) {
      if (fullLength < most) fullLength += text.upTo(most - fullLength)
    }
    return { fullLength, isLonger: turns.some(({ source, target }) => !source.isWhole || !target.isWhole) }
  }

  private turnIds(turns: readonly Turn[]): TurnIds[] {
    return turns.map((given, i) => {
      // Of a history that is not trained, nothing is changed: it stays as the model will be asked.
      const isHistory = this.encoding.maskHistory && i < turns.length - 1
      const { turn, thinking } = isHistory
        ? { turn: given, thinking: 'none' as const }
        : placeReasoning(given, this.encoding)
      return { turn, thinking, source: this.lazyTokens(turn.source), target: this.lazyTokens(turn.target) }
    })
  }

  /** Whether an answer of which `kept` tokens stay has begun its reasoning there and does not end it. */
  private losesEndOfReasoning({ turn: { source, target }, target: ids }: TurnIds, kept: number): boolean {
    if (kept === 0 || (ids.isWhole && kept === ids.count) || isUnclosed(source, target)) return false
    return isUnclosed(source, this.tokenizer.decode(ids.ids.slice(0, kept)))
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

  /** A text that spells a control token would become it: the end of an answer in the middle of one. */
  private refuseControlTokens({ messages, tools }: Conversation): void {
    const { inTexts, inCalls } = this.control
    for (const { content, name, tool_call_id, tool_calls } of messages) {
      refuse(inTexts, [content], 'the text')
      refuse(inCalls, [name ?? '', tool_call_id ?? ''], 'a name or an id')
      if (tool_calls !== undefined) refuse(inCalls, textsIn(parseJson(tool_calls)), 'a tool call')
    }
    if (tools !== undefined) refuse(inTexts, textsIn(parseJson(tools)), 'a tool')
  }
}

function refuse(control: RegExp | undefined, texts: Iterable<string>, where: string): void {
  if (!control) return
  for (const text of texts) {
    const [token] = text.match(control) ?? []
    if (token !== undefined) throw new BadRow(`${where} holds the control token ${token}`)
  }
}

/** A turn in tokens. */
interface TurnIds {
  turn: Turn
  thinking: Thinking
  source: LazyTokens
  target: LazyTokens
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
