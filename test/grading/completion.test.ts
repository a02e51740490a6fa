import { describe, expect, test } from 'vitest'
import { type Completion, splitCompletion, withoutAnswer } from '../../lib/grading/completion.js'
import { growth, proportional } from '../support/growth.js'

type Generated = Parameters<typeof splitCompletion>[0]
const generated = (text: string, more: Partial<Generated> = {}): Generated => ({
  text,
  reasoning: null,
  thinkOpened: false,
  finish: 'stop',
  ...more,
})

const table: [name: string, generation: Generated, expected: Partial<Completion>][] = [
  [
    'separated by the server',
    generated('It is 4.', { reasoning: 'Two and two.' }),
    { reasoning: 'Two and two.', answer: 'It is 4.', full: 'Two and two.</think>It is 4.', closed: true },
  ],
  [
    'separated, and cut off while it thinks',
    generated('', { reasoning: 'Two and', finish: 'length' }),
    { reasoning: 'Two and', answer: '', full: 'Two and', closed: false, truncated: true },
  ],
  [
    'separated, and cut off while it answers',
    generated('It', { reasoning: 'Two', finish: 'length' }),
    { answer: 'It', closed: true, truncated: true },
  ],
  [
    'an empty reasoning from a server that does not separate',
    generated('<think>Two.</think>It is 4.', { reasoning: '' }),
    { reasoning: 'Two.', answer: 'It is 4.', full: '<think>Two.</think>It is 4.', closed: true },
  ],
  [
    'an empty reasoning, and no tags',
    generated('It is 4.', { reasoning: '', thinkOpened: true, finish: 'length' }),
    { reasoning: '', answer: 'It is 4.', full: 'It is 4.', closed: true },
  ],
  [
    'both tags',
    generated('<think>\nTwo.\n</think>\n\nIt is 4.'),
    { reasoning: '\nTwo.\n', answer: '\n\nIt is 4.', closed: true, truncated: false },
  ],
  ['both tags behind white space', generated('\n <think>a</think>b'), { reasoning: 'a', answer: 'b', closed: true }],
  [
    'only the closing tag',
    generated('Two.\n</think>\n\nIt is 4.', { thinkOpened: true }),
    { reasoning: 'Two.\n', answer: '\n\nIt is 4.', closed: true },
  ],
  [
    'the tag quoted in the reasoning',
    generated('<think>I close with </think>, no: later.</think>It is 4.'),
    { reasoning: 'I close with </think>, no: later.', answer: 'It is 4.', closed: true },
  ],
  [
    'never closed',
    generated('<think>Two and', { finish: 'length' }),
    { reasoning: 'Two and', answer: '', full: '<think>Two and', closed: false, truncated: true },
  ],
  ['never closed, though it stopped', generated('<think>Two and'), { answer: '', closed: false, truncated: false }],
  [
    'opened by the template and cut off',
    generated('Two and', { thinkOpened: true, finish: 'length' }),
    { reasoning: 'Two and', answer: '', closed: false, truncated: true },
  ],
  [
    'opened by the template and answered without a tag',
    generated('It is 4.', { thinkOpened: true }),
    { reasoning: '', answer: 'It is 4.', closed: true },
  ],
  ['no tags', generated('It is 4.'), { reasoning: '', answer: 'It is 4.', full: 'It is 4.', closed: true }],
  ['no tags, cut off', generated('It', { finish: 'length' }), { answer: 'It', closed: true, truncated: true }],
  ['nothing', generated(''), { reasoning: '', answer: '', full: '', closed: true, truncated: false }],
]

describe('splitCompletion', () => {
  test.each(table)('%s', (_, generation, expected) => {
    expect(splitCompletion(generation)).toMatchObject(expected)
  })

  test.each(['<think>', '</think>', '<think></think>', ' ', '</think'])('many times %j', async (part) => {
    const split = (size: number) => {
      const text = part.repeat(size)
      for (let i = 0; i < 10; i++) splitCompletion(generated(text))
    }
    expect(await growth(split, 100_000)).toBeLessThan(proportional)
  })
})

test('an answer that holds none is truncated only where the limit ended it', () => {
  const verdictOf = (generation: Generated) => withoutAnswer(splitCompletion(generation))
  expect(verdictOf(generated('<think>a', { finish: 'length' }))).toMatchObject({ status: 'truncated', extracted: null })
  expect(verdictOf(generated('<think>a'))).toMatchObject({ status: 'no-answer', rule: 'reasoning not closed' })
  expect(verdictOf(generated('I do not know'))).toMatchObject({ status: 'no-answer', rule: 'no answer found' })
})
