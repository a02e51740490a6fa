// Written from samplingKeys.ts by `npx vitest run test/options.test.ts -u`: see CONTRIBUTING.md.

/** How answers are sampled. */
export interface SamplingOptions {
  /** 0 takes the most likely token. A number from 0 to 100. Default: 0.6. */
  temperature?: number | undefined
  /** Share of the probability that is kept. A number above 0 and up to 1. Default: 0.95. */
  topP?: number | undefined
  /** Number of tokens that are kept; 0 keeps all. An integer from 0 to 2147483647. Default: 0. */
  topK?: number | undefined
  /** Share of the most likely token's probability below which a token is dropped. A number from 0 to 1. Default: 0. */
  minP?: number | undefined
  /** Divides the logits of tokens that prompt or answer have; 1 is none. A number above 0 and up to 10. Default: 1. */
  repetitionPenalty?: number | undefined
  /** Subtracted from the logits of tokens that the answer has. A number from -10 to 10. Default: 0. */
  presencePenalty?: number | undefined
  /**
   * Subtracted from the logits of tokens for each time that the answer has them. A number from -10 to 10. Default: 0.
   */
  frequencyPenalty?: number | undefined
  /** Tokens of an answer at most, reasoning included. An integer from 1 to 2147483647. Default: 32768. */
  maxTokens?: number | undefined
  /** Texts that end an answer. Default: none. */
  stop?: readonly string[] | undefined
}
