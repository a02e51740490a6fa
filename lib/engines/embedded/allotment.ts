import { BranchMergeError } from '../../errors.js'
import { formatBytes } from '../../text/formatUnits.js'

/** What the answers of a model need of memory, and what there is. */
export interface Needs {
  /** Of one token in the cache of keys and values, F16. */
  bytesPerToken: number
  /** For all caches. */
  bytesFree: number
  /** Tokens that the model was trained with. */
  trained: number
  /** As the user wants it. */
  contextLength: number | undefined
  concurrency: number | undefined
}

export interface Allotment {
  /** Tokens of prompt and answer of one sequence. */
  contextLength: number
  sequences: number
}

const usualSequences = 8
/** The paper's 32,768 tokens of an answer and a prompt of 8,192: what is asked at most, while many models are trained with more. */
const usualContext = 40_960
/** Less is no context for a question. */
const leastContext = 512

/**
 * How many answers are written at once, and how long each may be: what the user says, or what the memory holds, long answers before
 * many.
 *
 * @throws ERR_OUT_OF_MEMORY where not even one short answer fits
 */
export function allot({ bytesPerToken, bytesFree, trained, contextLength, concurrency }: Needs): Allotment {
  const tokens = Math.floor(bytesFree / bytesPerToken)
  const wanted = contextLength ?? Math.min(trained, usualContext)
  const held = contextLength ?? Math.min(wanted, Math.max(tokens, Math.min(leastContext, wanted)))
  if (held > tokens && contextLength === undefined) {
    throw new BranchMergeError(
      'ERR_OUT_OF_MEMORY',
      `Expected ${formatBytes(held * bytesPerToken)} for the answers' keys and values but the memory has ${formatBytes(Math.max(0, bytesFree))} ` +
        'beside the model. Set a smaller contextLength, or serve the model on another machine.',
    )
  }
  return {
    contextLength: held,
    sequences: concurrency ?? Math.max(1, Math.min(usualSequences, Math.floor(tokens / held))),
  }
}
