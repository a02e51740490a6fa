import { type Completion, withoutAnswer } from './completion.js'
import { exactValue } from './math/exactValue.js'
import { type ExtractionProfile, extractMath } from './math/extract.js'
import { compareMath } from './math/verify.js'
import type { Verdict } from './verdict.js'

/**
 * Grades an answer by its mathematical value.
 *
 * @param profile - where an answer may stand: `strict` takes a `\boxed{}` and what follows "final answer is", `lenient` also what
 *   follows "answer is", a formula at the end and a bare expression
 */
export function gradeMath(completion: Completion, gold: string, profile: ExtractionProfile): Verdict {
  const { text, rule } = completion.closed ? extractMath(completion.answer, profile) : { text: null, rule: 'none' }
  if (text === null) return withoutAnswer(completion)
  const { equal, rule: comparison, unsupported } = compareMath(gold, text)
  const status = unsupported ? 'unsupported' : equal ? 'correct' : 'wrong'
  return { status, extracted: equal ? gold.trim() : canonical(text), rule: `${rule}: ${comparison}` }
}

const canonical = (text: string): string => exactValue(text) ?? text.replace(/\\[,;!: ]|\s+/g, '').slice(0, 1000)
