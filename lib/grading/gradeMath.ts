import { type Completion, withoutAnswer } from './completion.js'
import { canonicalMath } from './math/canonical.js'
import { type ExtractionProfile, extractMath } from './math/extract.js'
import { compareMath } from './math/verify.js'
import type { Verdict } from './verdict.js'

/**
 * Grades an answer by its mathematical value. What it extracts is the gold answer where it is equal, else the canonical text, so that
 * equal answers are one answer to a vote.
 *
 * @param profile - where an answer may stand: `strict` takes a `\boxed{}` and what follows "final answer is", `lenient` also what
 *   follows "answer is", a formula at the end and a bare expression
 */
export function gradeMath(completion: Completion, gold: string, profile: ExtractionProfile): Verdict {
  const { text, rule } = completion.closed ? extractMath(completion.answer, profile) : { text: null, rule: 'none' }
  if (text === null) return withoutAnswer(completion)
  const { equal, rule: comparison, unsupported } = compareMath(gold, text)
  const status = unsupported ? 'unsupported' : equal ? 'correct' : 'wrong'
  return { status, extracted: equal ? gold.trim() : canonicalMath(text), rule: `${rule}: ${comparison}` }
}
