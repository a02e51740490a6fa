import type { Sampling } from '../generation.js'
import type { ServerError } from './failure.js'

/** Programs that serve models, as far as their habits differ. */
export type ServerKind = 'vllm' | 'sglang' | 'llama.cpp' | 'ollama' | 'deepseek' | 'other'

/** Without which an answer is still one, though another than was asked for: a server may lack them. */
export const optionalParameters = [
  'stream_options',
  'stream',
  'temperature',
  'top_p',
  'top_k',
  'min_p',
  'repetition_penalty',
  'repeat_penalty',
  'presence_penalty',
  'frequency_penalty',
  'seed',
  'add_special_tokens',
] as const
export type OptionalParameter = (typeof optionalParameters)[number]

/** What a server takes, as it turned out. */
export interface Acceptance {
  /** Parameters that it refused, and in which words. They are left out, so that its own defaults are in force. */
  readonly refused: Map<OptionalParameter, string>
  /** How it calls the limit of tokens. */
  limitName: 'max_tokens' | 'max_completion_tokens'
}

/** Parameters that servers of a kind pass over without a word; nothing can be done but say so. */
export const passedOver: Readonly<Record<ServerKind, readonly OptionalParameter[]>> = {
  vllm: [],
  sglang: [],
  'llama.cpp': [],
  ollama: ['top_k', 'min_p', 'repetition_penalty'],
  deepseek: ['top_k', 'min_p', 'repetition_penalty', 'seed'],
  other: [],
}

/** Every sampler parameter under the server's name of it, with the value by which it keeps everything where that is meant. */
export function samplerParameters(
  {
    temperature,
    topP,
    topK,
    minP,
    repetitionPenalty,
    presencePenalty,
    frequencyPenalty,
  }: Omit<Sampling, 'maxTokens' | 'stop'>,
  seed: number,
  kind: ServerKind,
): Partial<Record<OptionalParameter, number>> {
  return {
    temperature,
    top_p: topP,
    top_k: topK > 0 ? topK : kind === 'llama.cpp' ? 0 : -1,
    min_p: minP,
    ...(kind === 'llama.cpp' ? { repeat_penalty: repetitionPenalty } : { repetition_penalty: repetitionPenalty }),
    presence_penalty: presencePenalty,
    frequency_penalty: frequencyPenalty,
    // llama.cpp takes the largest for the wish of a random one.
    seed: kind === 'llama.cpp' && seed === 0xffffffff ? 0x7fffffff : seed,
  }
}

/** Without what the server refused. */
export function accepted(
  body: Readonly<Record<string, unknown>>,
  { refused, limitName }: Acceptance,
): Record<string, unknown> {
  const leftOut = (name: string) =>
    refused.has(name as OptionalParameter) || (name === 'stream_options' && refused.has('stream'))
  const entries = Object.entries(body).filter(([name]) => !leftOut(name))
  return Object.fromEntries(entries.map(([name, value]) => [name === 'max_tokens' ? limitName : name, value]))
}

const unknownWords =
  /unsupported|not supported|does not support|doesn't support|unrecogni[sz]ed|unknown|unexpected|extra (inputs|fields)|not permitted|not allowed|not accepted|invalid (parameter|field|argument)|no such/i

/** The parameter that a refusal is about, where the server does not know it at all: a value that it refuses is the user's matter. */
export function unknownParameter(
  { message, param, code }: ServerError,
  sent: Readonly<Record<string, unknown>>,
): OptionalParameter | 'max_tokens' | undefined {
  const isUnknown =
    unknownWords.test(message) || /unknown_parameter|unsupported_(parameter|value)/.test(String(code ?? ''))
  if (!isUnknown) return undefined
  const names = [...optionalParameters, 'max_tokens' as const].filter((name) => name in sent)
  // The longest first: presence_penalty is no penalty.
  const named = names.find((name) => param === name || param?.endsWith(`.${name}`))
  return named ?? names.find((name) => new RegExp(`(?<![\\w])${name}(?![\\w])`).test(message))
}

/** Whether a refusal says that prompt and answer are longer than the context. */
export const isContextRefusal = ({ message, code, type }: ServerError): boolean =>
  /context_length_exceeded|exceed_context_size/.test(`${code ?? ''} ${type ?? ''}`) ||
  /(context|sequence|model)[\w' ]*(length|size|window|len)|maximum (context|length|number of tokens)|max_model_len|too many tokens|longer than the (maximum|model)/i.test(
    message,
  )

/** The numbers of a refusal: of the context and of the prompt. */
export function contextNumbers(message: string): { context: number | undefined; prompt: number | undefined } {
  const number = (...patterns: RegExp[]) => {
    for (const pattern of patterns) {
      const found = pattern.exec(message)?.[1]
      if (found !== undefined) return Number(found.replaceAll(',', ''))
    }
    return undefined
  }
  return {
    context: number(
      /(?:maximum context length|context (?:length|size|window)|max_model_len|max_seq_len|n_ctx)[^\d]{0,40}?(\d[\d,]*)/i,
      /maximum (?:allowed )?(?:length|number of tokens)[^\d]{0,30}?(\d[\d,]*)/i,
    ),
    prompt: number(
      /\((\d[\d,]*) (?:tokens )?(?:in|from) (?:the |your )?(?:messages|prompt|input)/i,
      /(\d[\d,]*) (?:tokens )?(?:in|from) (?:the |your )?(?:messages|prompt|input)/i,
      /(\d[\d,]*) (?:input|prompt) tokens/i,
      /(?:prompt|input)[^\d]{0,40}?(\d[\d,]*) tokens/i,
      /request \((\d[\d,]*) tokens\)/i,
    ),
  }
}
