/** A number of tokens, both ends included. */
export interface TokenRange {
  min?: number
  max?: number
}

/** What answers must be like. Without an option nothing of its kind is looked at. */
export interface QualityOptions {
  /** Why an answer may have ended, in the rows' words: `stop`. An answer that does not say is none of them. */
  finish?: string[]
  /** Whether an answer must have reasoning. Default: allowed. */
  reasoning?: 'required' | 'allowed'
  /** Tokens of the student's tokenizer, without what a chat template adds; `whole` is the question, the reasoning and the answer. */
  length?: { question?: TokenRange; reasoning?: TokenRange; answer?: TokenRange; whole?: TokenRange }
  /** How much an answer or its reasoning may repeat itself; `true` for the defaults. */
  repetition?: true | RepetitionLimits
  /** How much may be in scripts that neither the question nor mathematics uses; `true` for the default. */
  languages?: true | { share?: number }
  /** `true`: no answer that declines. */
  refusals?: true
}

export interface RepetitionLimits {
  /** Largest share of runs of 20 words that stood in the text before, 0 to 1. Default: 0.2. */
  runs?: number
  /** Largest share of the characters in lines that stood in the text before, 0 to 1. Default: 0.2. */
  lines?: number
  /** Fewest words of an end that says the same four times and more. Default: 100. */
  loop?: number
}

/**
 * MassiveText (Rae et al. 2021, table A1) leaves out documents of which 20 % of the characters stand in lines, or 10 % in runs of ten
 * words, that come more than once. Reasoning restates conditions and formulas, so runs are twice as long here, and their share.
 */
export const defaultLimits: Required<RepetitionLimits> = { runs: 0.2, lines: 0.2, loop: 100 }

/** A name or a quoted term is a few letters; one letter in a hundred is a sentence of a text of a page. */
export const defaultForeignShare = 0.01
