import { withReasoning } from '../data/conversation.js'
import { splitCompletion } from '../grading/completion.js'
import type { CheckRecord, TaughtAnswer } from './records.js'
import type { ReasoningForm } from './teachingOptions.js'
import type { TeachingQuestion } from './teachingQuestions.js'

/**
 * A line of the trajectories, or of what was left out: a conversation as `data.sources` of a run takes it, and what is known of
 * it. Of an answer that was left out the reasoning may be without an end.
 */
export function trajectoryLine(
  answer: TaughtAnswer,
  check: CheckRecord,
  { labels }: Pick<TeachingQuestion, 'labels'>,
  reasoning: ReasoningForm,
): string {
  const { key, question: id, attempt, prompt, finish, tokens } = answer
  return JSON.stringify({
    id,
    attempt,
    messages: [...(prompt.messages ?? []), assistantMessage(answer, reasoning)],
    ...outcome(check),
    extracted: check.extracted,
    finish,
    tokens: tokens.completion,
    ...(Object.keys(labels).length > 0 && { labels }),
    key,
  })
}

function outcome(check: CheckRecord): Record<string, string> {
  if (check.decision === 'accepted') return { verdict: check.verdict }
  if (check.decision === 'truncated') return { reason: 'truncated' }
  return { reason: check.reason, detail: check.detail }
}

function assistantMessage(answer: TaughtAnswer, form: ReasoningForm): Record<string, string> {
  const { reasoning, answer: said, closed, full } = splitCompletion(answer)
  if (!closed) return { role: 'assistant', content: full }
  const content = said.replace(/^(?:[ \t]*\r?\n)+/, '').trimEnd()
  if (reasoning.trim() === '') return { role: 'assistant', content }
  if (form === 'think') return { role: 'assistant', content: withReasoning(reasoning, content) }
  return { role: 'assistant', content, reasoning_content: reasoning.replace(/^\n+|\n+$/g, '') }
}
