import type { Answer } from './collectAnswers.js'

/**
 * How right the most frequent answer is, from 0 to 1: ties share, and an answer that was graded both ways counts with its
 * share of right verdicts. Answers from which nothing was taken do not vote; where none votes, it is 0.
 */
export function consensus(answers: readonly Answer[]): number {
  const votes = new Map<string, { count: number; right: number }>()
  for (const { vote, status } of answers) {
    if (vote === null) continue
    const { count, right } = votes.get(vote) ?? { count: 0, right: 0 }
    votes.set(vote, { count: count + 1, right: right + (status === 'correct' ? 1 : 0) })
  }
  const most = [...votes.values()].reduce((max, { count }) => Math.max(max, count), 0)
  const winners = [...votes.values()].filter(({ count }) => count === most)
  const right = winners.reduce((sum, winner) => sum + winner.right, 0)
  return winners.length === 0 ? 0 : right / (most * winners.length)
}

/** Whether right answers can vote: some graders, as those of instructions, take nothing out of an answer. */
export const canVote = (answers: readonly Answer[]): boolean =>
  answers.every(({ status, vote }) => status !== 'correct' || vote !== null)
