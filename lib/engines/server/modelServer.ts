import type { Message } from '../generation.js'
import { RequestFailure } from './failure.js'
import type { Acceptance, OptionalParameter, ServerKind } from './parameters.js'
import { passedOver } from './parameters.js'
import type { Address, Timeouts, Transport } from './transport.js'

/** Milliseconds for questions about the server itself. */
export const shortTimeouts: Timeouts = { connect: 10_000, firstByte: 30_000, idle: 30_000, total: 60_000 }

/** One server, and what is known of it. */
export class ModelServer {
  kind: ServerKind = 'other'
  version: string | undefined
  /** Names that it lists. */
  models: readonly string[] = []
  /** Tokens of prompt and answer together, where it says. */
  contextLength: number | undefined
  readonly acceptance: Acceptance = { refused: new Map(), limitName: 'max_tokens' }
  /** Whether its own chat template ends a prompt with `<think>`; undefined where that cannot be seen. */
  thinkOpened: boolean | undefined
  reasoningField: string | undefined
  reportsUsage: boolean | undefined
  systemFingerprint: string | undefined
  servedModel: string | undefined
  private tokenizes = true

  constructor(
    readonly address: Address,
    readonly transport: Transport,
  ) {}

  get url(): string {
    return this.address.name
  }

  /** For the record. */
  describe(): Record<string, unknown> {
    const { refused, limitName } = this.acceptance
    const ignored = passedOver[this.kind].filter((name) => !refused.has(name))
    return {
      url: this.url,
      kind: this.kind,
      version: this.version ?? null,
      models: this.models,
      servedModel: this.servedModel ?? null,
      systemFingerprint: this.systemFingerprint ?? null,
      contextLength: this.contextLength ?? null,
      countsTokens: this.countsTokens,
      limitName,
      notAccepted: Object.fromEntries(refused),
      ...(ignored.length > 0 && { knownToIgnore: ignored }),
      unset: [...new Set([...refused.keys(), ...ignored])],
      reasoningField: this.reasoningField ?? null,
      reportsUsage: this.reportsUsage ?? null,
      thinkOpened: this.thinkOpened ?? 'unknown',
    }
  }

  /** A GET that may fail: undefined then. @throws the signal's reason after an abort */
  async ask(method: 'GET' | 'POST', path: string, signal: AbortSignal | undefined, body?: unknown): Promise<unknown> {
    try {
      return await this.transport.json(this.address, method, path, { body, timeouts: shortTimeouts, signal })
    } catch (error) {
      if (error instanceof RequestFailure) return undefined
      throw error
    }
  }

  /** Tokens of a text as it is, or of messages in the server's own template; undefined where it does not say. */
  async tokenize(
    model: string,
    prompt: string | readonly Message[],
    signal: AbortSignal | undefined,
  ): Promise<number[] | undefined> {
    if (!this.countsTokens) return undefined
    const isText = typeof prompt === 'string'
    let found: unknown
    if (this.kind === 'llama.cpp') {
      const applied = isText ? { prompt } : await this.ask('POST', '/apply-template', signal, { messages: prompt })
      const text = member(applied, 'prompt')
      if (typeof text !== 'string') return undefined
      // In a chat the server adds what the tokenizer wants in front, and the template leaves it out.
      found = await this.ask('POST', '/tokenize', signal, { content: text, add_special: !isText, parse_special: true })
    } else if (isText) {
      found = await this.ask('POST', '/tokenize', signal, { model, prompt, add_special_tokens: false })
    } else if (this.kind === 'vllm') {
      found = await this.ask('POST', '/tokenize', signal, { model, messages: prompt, add_generation_prompt: true })
    } else return undefined
    const tokens = member(found, 'tokens')
    if (isTokenList(tokens)) return tokens
    this.tokenizes = false
    return undefined
  }

  /** The end of a prompt as the server's template writes it, where it shows. */
  async promptEnd(
    model: string,
    messages: readonly Message[],
    signal: AbortSignal | undefined,
  ): Promise<string | undefined> {
    if (this.kind === 'llama.cpp') {
      const text = member(await this.ask('POST', '/apply-template', signal, { messages }), 'prompt')
      return typeof text === 'string' ? text : undefined
    }
    if (this.kind !== 'vllm') return undefined
    const tokens = await this.tokenize(model, messages, signal)
    if (!tokens) return undefined
    const text = member(await this.ask('POST', '/detokenize', signal, { model, tokens: tokens.slice(-8) }), 'prompt')
    return typeof text === 'string' ? text : undefined
  }

  get countsTokens(): boolean {
    return this.tokenizes && (this.kind === 'vllm' || this.kind === 'llama.cpp' || this.kind === 'sglang')
  }

  refuse(parameter: OptionalParameter | 'max_tokens', words: string): boolean {
    if (parameter === 'max_tokens') {
      if (this.acceptance.limitName === 'max_completion_tokens') return false
      this.acceptance.limitName = 'max_completion_tokens'
      return true
    }
    if (this.acceptance.refused.has(parameter)) return false
    this.acceptance.refused.set(parameter, words.slice(0, 300))
    return true
  }
}

export function member(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined
}

const isTokenList = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((token) => Number.isInteger(token))
