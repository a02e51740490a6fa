import type { GroupOption, Option } from '../options/option.js'
import type { SamplingOptions } from './samplingOptions.js'

const penalty = { type: 'number', least: -10, most: 10, default: 0 } as const

export const samplingKeys = {
  temperature: { type: 'number', least: 0, most: 100, default: 0.6, meaning: '0 takes the most likely token' },
  topP: {
    type: 'number',
    least: 0,
    above: true,
    most: 1,
    default: 0.95,
    meaning: 'share of the probability that is kept',
  },
  topK: {
    type: 'integer',
    least: 0,
    most: 2 ** 31 - 1,
    default: 0,
    meaning: 'number of tokens that are kept; 0 keeps all',
  },
  minP: {
    type: 'number',
    least: 0,
    most: 1,
    default: 0,
    meaning: "share of the most likely token's probability below which a token is dropped",
  },
  repetitionPenalty: {
    type: 'number',
    least: 0,
    above: true,
    most: 10,
    default: 1,
    meaning: 'divides the logits of tokens that prompt or answer have; 1 is none',
  },
  presencePenalty: { ...penalty, meaning: 'subtracted from the logits of tokens that the answer has' },
  frequencyPenalty: {
    ...penalty,
    meaning: 'subtracted from the logits of tokens for each time that the answer has them',
  },
  maxTokens: {
    type: 'integer',
    least: 1,
    most: 2 ** 31 - 1,
    default: 32_768,
    meaning: 'tokens of an answer at most, reasoning included',
  },
  stop: {
    type: 'list',
    expected: 'a list of texts',
    items: { type: 'text', meaning: '' },
    default: [],
    defaultText: 'none',
    meaning: 'texts that end an answer',
  },
} as const satisfies Record<keyof SamplingOptions, Option>

/** The defaults are those of the TinyR1 paper. */
export const sampling: GroupOption = {
  type: 'group',
  interface: 'SamplingOptions',
  options: samplingKeys,
  defaultText: 'as the paper does, with what a benchmark sets instead',
  meaning: 'how answers are sampled',
}
