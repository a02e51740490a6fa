import type { Outcome } from '../../lib/evaluate/analysis/results.js'
import type { Transcript } from '../../lib/evaluate/readOutcomes.js'

export const transcriptOf = (
  { model, benchmark, question, trial, status, extracted, tokens }: Outcome,
  more: Partial<Transcript> = {},
): Transcript => ({
  model,
  benchmark,
  question,
  trial,
  status,
  extracted,
  tokens,
  prompt: `Prompt of ${question}`,
  reasoning: 'Let me think.',
  text: `Answer ${trial} of ${model}`,
  rule: 'boxed',
  detail: '',
  reference: '42',
  ...more,
})
