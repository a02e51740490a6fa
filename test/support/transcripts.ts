import type { Outcome } from '../../lib/evaluate/analysis/results.js'
import type { Transcript } from '../../lib/report/evaluation/transcripts.js'

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
  reference: '42',
  ...more,
})
