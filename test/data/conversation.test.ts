import { describe, expect, test } from 'vitest'
import { detectFormat, type RowReader, readConversation } from '../../lib/data/conversation.js'
import { type DataSource, resolveData } from '../../lib/data/options.js'
import { writeJson } from '../../lib/data/parseJson.js'
import { Problems } from '../../lib/recipe/problems.js'
import { Random } from '../support/random.js'
import { dialogue } from './support.js'

function reader(format: RowReader['format'], source: Partial<DataSource> = {}, system?: string): RowReader {
  const problems = new Problems('The data', () => ({ text: '', order: 0 }))
  const data = resolveData({ sources: [{ path: 'a.jsonl', ...source }] }, problems)
  problems.throwIfAny()
  return { ...(data?.sources[0] as NonNullable<typeof data>['sources'][number]), format, defaultSystem: system }
}

const messagesOf = (row: unknown, by: RowReader) => readConversation(row, by)?.messages

describe('messages', () => {
  const by = reader('messages')

  test('of OpenAI', () => {
    const messages = [{ role: 'system', content: 'S' }, ...dialogue('a', 'b', 'c', 'd')]
    expect(messagesOf({ messages, id: 7 }, by)).toEqual(messages)
  })

  test('parts that are text, the developer, reasoning apart', () => {
    const messages = [
      { role: 'developer', content: [{ type: 'text', text: 'S' }] },
      {
        role: 'user',
        content: [
          { type: 'text', text: 'a' },
          { type: 'text', text: 'b' },
        ],
      },
      { role: 'assistant', content: 'd', reasoning_content: '\nc\n' },
    ]
    expect(messagesOf({ messages }, by)).toEqual([
      { role: 'system', content: 'S' },
      ...dialogue('ab', '<think>\nc\n</think>\n\nd'),
    ])
  })

  test('calls of tools and their answers', () => {
    const calls = [{ id: '1', type: 'function', function: { name: 'f', arguments: '{}' } }]
    const messages = [
      { role: 'user', content: 'a' },
      { role: 'assistant', content: null, tool_calls: calls },
      { role: 'tool', content: '1', tool_call_id: '1' },
      { role: 'tool', content: '2', name: 'f' },
      { role: 'assistant', content: 'b' },
    ]
    const found = readConversation({ messages, tools: '[{"type":"function"}]' }, by)
    expect(found?.tools).toBe('[{"type": "function"}]')
    expect(found?.messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'tool', 'tool', 'assistant'])
    expect(found?.messages[1]).toEqual({ role: 'assistant', content: '', tool_calls: writeJson(calls) })
  })

  test('calls as JSON text, as columns of text hold them', () => {
    const withCalls = (tool_calls: unknown) => ({
      messages: [
        { role: 'user', content: 'a' },
        { role: 'assistant', content: 'Let me look.', tool_calls },
      ],
    })
    const calls = '[{"type": "function", "function": {"name": "f", "arguments": {"x": 1.0}}}]'
    expect(messagesOf(withCalls(calls), by)?.[1]).toEqual({
      role: 'assistant',
      content: 'Let me look.',
      tool_calls: calls,
    })
    for (const nothing of ['', '[]', [], null]) {
      expect(messagesOf(withCalls(nothing), by)?.[1]).toEqual({ role: 'assistant', content: 'Let me look.' })
    }
    expect(() => messagesOf(withCalls('f(x)'), by)).toThrow('tool_calls is no JSON')
    expect(() => messagesOf(withCalls({ function: { name: 'f' } }), by)).toThrow('expected a list as tool_calls')
  })

  test("OpenAI's older form of calls and definitions", () => {
    const call = { name: 'f', arguments: '{"a":1}' }
    const messages: Record<string, unknown>[] = [
      { role: 'user', content: 'a' },
      { role: 'assistant', content: null, function_call: call },
      { role: 'function', name: 'f', content: '1' },
      { role: 'assistant', content: 'b', function_call: null },
    ]
    expect(readConversation({ messages, functions: [{ name: 'f' }] }, by)).toEqual({
      messages: [
        { role: 'user', content: 'a' },
        { role: 'assistant', content: '', tool_calls: writeJson([{ type: 'function', function: call }]) },
        { role: 'tool', name: 'f', content: '1' },
        { role: 'assistant', content: 'b' },
      ],
      tools: writeJson([{ type: 'function', function: { name: 'f' } }]),
    })
    messages[1] = { role: 'assistant', content: 'c', function_call: 'f' }
    expect(() => readConversation({ messages }, by)).toThrow('expected an object with a name as function_call')
  })

  test('role and content under conversations, from and value under messages', () => {
    const shared = [
      { from: 'human', value: 'a' },
      { from: 'gpt', value: 'b' },
    ]
    expect(messagesOf({ conversations: dialogue('a', 'b') }, reader('sharegpt'))).toEqual(dialogue('a', 'b'))
    expect(messagesOf({ messages: shared }, by)).toEqual(dialogue('a', 'b'))
    expect(() => messagesOf({ conversations: [{ text: 'a' }] }, reader('sharegpt'))).toThrow(
      'message 0 has the unknown role undefined',
    )
  })

  test('a system text of the row, or of the data, where there is none', () => {
    const messages = dialogue('a', 'b')
    const system = (content: string) => [{ role: 'system', content }, ...messages]
    expect(messagesOf({ messages, system: 'row' }, reader('messages', {}, 'data'))).toEqual(system('row'))
    expect(messagesOf({ messages, system: '' }, reader('messages', {}, 'data'))).toEqual(system('data'))
    expect(messagesOf({ messages: system('own') }, reader('messages', {}, 'data'))).toEqual(system('own'))
    expect(messagesOf({ messages: system('') }, by)).toEqual(messages)
  })

  test.each([
    [null, 'expected an object'],
    [[1], 'expected an object'],
    [{}, 'expected a list of messages in messages'],
    [{ messages: [] }, 'there is no message'],
    [{ messages: [1] }, 'expected an object as message 0'],
    [{ messages: [{ role: 'bot', content: 'a' }] }, 'message 0 has the unknown role "bot"'],
    [{ messages: [{ content: 'a' }] }, 'message 0 has the unknown role undefined'],
    [{ messages: [{ role: 'toString', content: 'a' }] }, 'message 0 has the unknown role "toString"'],
    [{ messages: [{ role: 'user' }] }, 'expected a text as content of every message'],
    [{ messages: [{ role: 'user', content: [{ type: 'image_url' }] }] }, 'expected a text as content'],
    [{ messages: dialogue('a') }, 'the last message is no answer'],
    [{ messages: dialogue('a', 'b', 'c') }, 'the last message is no answer'],
    [{ messages: [...dialogue('a', 'b'), { role: 'assistant', content: 'c' }] }, 'but assistant follows assistant'],
    [{ messages: [{ role: 'user', content: 'a' }, ...dialogue('b', 'c')] }, 'but user follows user'],
    [{ messages: [{ role: 'assistant', content: 'a' }] }, 'but assistant follows nothing'],
    [{ messages: [...dialogue('a', 'b'), { role: 'system', content: 'c' }] }, 'but system follows assistant'],
    [{ messages: dialogue('a', ' \n') }, 'the text of assistant is empty'],
    [{ messages: dialogue('', 'a') }, 'the text of user is empty'],
    [{ messages: dialogue('a\ud800', 'b') }, 'a half of a surrogate pair'],
    [{ messages: dialogue('a', '\ufdd0b') }, 'U+FDD0'],
    [{ messages: dialogue('a', 'b'), tools: '{' }, 'expected JSON in tools'],
    [{ messages: dialogue('a', 'b'), tools: 3 }, 'expected a list in tools'],
    [{ messages: dialogue('a', 'b'), system: 3 }, 'expected a text in system'],
  ])('%j is bad', (row, reason) => {
    expect(() => readConversation(row, by)).toThrow(
      expect.objectContaining({ name: 'BadRow', message: expect.stringContaining(reason) }),
    )
  })
})

describe('answers that are not trained', () => {
  const by = reader('messages')
  const rated = (first: object, last: object = {}) => ({
    messages: [
      { role: 'user', content: 'a' },
      { role: 'assistant', content: 'bad', ...first },
      { role: 'user', content: 'b' },
      { role: 'assistant', content: 'good', ...last },
    ],
  })

  test.each([{ weight: 0 }, { train: false }, { weight: 0n }, { weight: 1, train: false }])('%#', (key) => {
    const untrained = messagesOf(rated(key, { weight: 1, train: true }), by)?.map((message) => message.untrained)
    expect(untrained).toEqual([undefined, true, undefined, undefined])
  })

  test('what is neither 0 nor 1 is bad, and a row with nothing to train', () => {
    expect(() => messagesOf(rated({ weight: 0.5 }), by)).toThrow('expected 0, 1, true or false as weight of a message')
    expect(() => messagesOf(rated({ train: 'no' }), by)).toThrow('as train of a message')
    expect(() => messagesOf(rated({ weight: 0 }, { train: false }), by)).toThrow('none of its answers is trained')
  })
})

describe('sharegpt', () => {
  const turns = [
    { from: 'system', value: 'S' },
    { from: 'human', value: 'a' },
    { from: 'function_call', value: '<think>\nHm.\n</think>\n\n{"name":"f","arguments":{"x":1.0}}' },
    { from: 'observation', value: '1' },
    { from: 'gpt', value: 'b' },
  ]

  test('with the usual tags', () => {
    expect(messagesOf({ conversations: turns }, reader('sharegpt'))).toEqual([
      { role: 'system', content: 'S' },
      { role: 'user', content: 'a' },
      {
        role: 'assistant',
        content: '<think>\nHm.\n</think>\n\n',
        tool_calls: '[{"type": "function", "function": {"name": "f", "arguments": {"x": 1.0}}}]',
      },
      { role: 'tool', content: '1' },
      { role: 'assistant', content: 'b' },
    ])
  })

  test('several calls in a row are one answer, and tools are as OpenAI has them', () => {
    const call = (city: string) => ({ from: 'function_call', value: `{"name": "f", "arguments": {"city": "${city}"}}` })
    const conversations = [
      { from: 'human', value: 'a' },
      call('Rome'),
      call('Oslo'),
      { from: 'observation', value: '1' },
    ]
    const found = readConversation(
      { conversations: [...conversations, { from: 'gpt', value: 'b' }], tools: '[{"name": "f", "strict": 1e0}]' },
      reader('sharegpt'),
    )
    expect(found?.messages[1]?.tool_calls).toBe(
      '[{"type": "function", "function": {"name": "f", "arguments": {"city": "Rome"}}}, ' +
        '{"type": "function", "function": {"name": "f", "arguments": {"city": "Oslo"}}}]',
    )
    expect(found?.messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'tool', 'assistant'])
    expect(found?.tools).toBe('[{"type": "function", "function": {"name": "f", "strict": 1e0}}]')
  })

  test.each([
    ['f(Rome)', 'the text of a function_call is no JSON'],
    ['{"name": "f"}', 'expected an object with name and arguments'],
    ['[1]', 'expected an object with name and arguments'],
  ])('a function_call of %s is bad', (value, message) => {
    const conversations = [
      { from: 'human', value: 'a' },
      { from: 'function_call', value },
    ]
    expect(() => messagesOf({ conversations }, reader('sharegpt'))).toThrow(message)
  })

  test('with others', () => {
    const by = reader('sharegpt', {
      columns: { conversations: 'dialog', system: 'preamble' },
      tags: { role: 'who', content: 'said', user: 'Q', assistant: 'A' },
    })
    const dialog = [
      { who: 'Q', said: 'a' },
      { who: 'A', said: 'b' },
    ]
    expect(messagesOf({ dialog, preamble: 'S' }, by)).toEqual([{ role: 'system', content: 'S' }, ...dialogue('a', 'b')])
  })

  test('OpenThoughts: its tags become <think> when that is asked for', () => {
    const value =
      '<|begin_of_thought|>\n\nFirst,\n\nthen.\n\n<|end_of_thought|>\n\n<|begin_of_solution|>\n\nSo: 4.\n\n<|end_of_solution|>'
    const row = {
      system: 'S',
      conversations: [
        { from: 'user', value: 'a' },
        { from: 'assistant', value },
      ],
    }
    expect(messagesOf(row, reader('sharegpt', { reasoning: 'openthoughts' }))).toEqual([
      { role: 'system', content: 'S' },
      ...dialogue('a', '<think>\nFirst,\n\nthen.\n</think>\n\nSo: 4.'),
    ])
    expect(messagesOf(row, reader('sharegpt', { reasoning: 'asIs' }))?.[2]?.content).toBe(value)
    expect(() => readConversation(row, reader('sharegpt'))).toThrow(
      'set reasoning of the source to openthoughts or asIs',
    )
    const other = {
      conversations: [
        { from: 'user', value: 'a' },
        { from: 'assistant', value: 'b' },
      ],
    }
    expect(() => readConversation(other, reader('sharegpt', { reasoning: 'openthoughts' }))).toThrow(
      'the answer lacks the tags of OpenThoughts',
    )
  })
})

describe('alpaca', () => {
  test('instruction and input are one prompt, history comes before', () => {
    const row = {
      instruction: 'Add.',
      input: '1 2',
      output: '3',
      system: 'S',
      history: [
        ['a', 'b'],
        ['c', 'd'],
      ],
    }
    expect(messagesOf(row, reader('alpaca'))).toEqual([
      { role: 'system', content: 'S' },
      ...dialogue('a', 'b', 'c', 'd', 'Add.\n1 2', '3'),
    ])
    expect(messagesOf({ instruction: 'Hi', input: '', output: 'Ho' }, reader('alpaca'))).toEqual(dialogue('Hi', 'Ho'))
    expect(messagesOf({ instruction: 'Hi', output: 'Ho' }, reader('alpaca'))).toEqual(dialogue('Hi', 'Ho'))
  })

  test.each([
    [{ instruction: 'a' }, 'the text of assistant is empty'],
    [{ output: 'a' }, 'the text of user is empty'],
    [{ instruction: 1, output: 'a' }, 'expected a text in instruction'],
    [{ instruction: 'a', output: 'b', history: [['c']] }, 'expected pairs of texts in history'],
    [{ instruction: 'a', output: 'b', history: 'c' }, 'expected pairs of texts in history'],
  ])('%j is bad', (row, reason) => {
    expect(() => readConversation(row, reader('alpaca'))).toThrow(reason)
  })
})

describe('columns', () => {
  test('a prompt, a response, reasoning apart', () => {
    const by = reader('columns', {
      columns: { prompt: 'question', response: 'attempt', reasoning: 'trajectory' },
    })
    expect(messagesOf({ question: 'a', attempt: 'c', trajectory: 'b\n' }, by)).toEqual(
      dialogue('a', '<think>\nb\n</think>\n\nc'),
    )
    expect(messagesOf({ question: 'a', attempt: 'c', trajectory: null }, by)).toEqual(dialogue('a', 'c'))
  })

  describe('OpenR1: of several generations the first that was verified and is complete', () => {
    const by = reader('columns', {
      columns: { prompt: 'problem', response: 'generations' },
      where: { question_type: ['math-word-problem'], correctness_count: [1, 2] },
      choose: { correctness_math_verify: true, is_reasoning_complete: true },
    })
    const row = {
      problem: 'p',
      question_type: 'math-word-problem',
      correctness_count: 2n,
      generations: ['a', 'b', 'c'],
      correctness_math_verify: [false, true, true],
      is_reasoning_complete: [true, false, true],
    }

    test('is taken', () => expect(messagesOf(row, by)).toEqual(dialogue('p', 'c')))
    test.each([
      ['none fits', { is_reasoning_complete: [true, true, false], correctness_math_verify: [false, false, true] }],
      ['another judge verified', { correctness_math_verify: null }],
      ['a null cell that Parquet leaves out', { correctness_math_verify: undefined }],
      ['another type', { question_type: 'proof' }],
      ['another count', { correctness_count: 3n }],
    ])('%s: the row is left out, not bad', (_, change) => {
      expect(readConversation({ ...row, ...change }, by)).toBeUndefined()
    })
  })
})

test.each([
  [['messages', 'id'], 'messages'],
  [['conversations'], 'sharegpt'],
  [['instruction', 'input', 'output'], 'alpaca'],
  [['prompt', 'response'], 'columns'],
  [['text'], undefined],
  [[], undefined],
])('columns %j are the format %s', (columns, format) => {
  expect(detectFormat(columns, reader('messages'))).toBe(format)
})

test('rows of any shape are bad or conversations, never an exception', () => {
  const random = new Random(4)
  const scalars = [null, true, 0, -1.5, '', 'a', 'user', 'assistant', '<think>', {}, [], undefined]
  const keys = [
    'messages',
    'conversations',
    'role',
    'content',
    'from',
    'value',
    'instruction',
    'output',
    'history',
    'tools',
    'prompt',
    'response',
    'system',
    'tool_calls',
  ]
  const draw = (depth: number): unknown => {
    const kind = random.below(depth > 4 ? 1 : 3)
    if (kind === 0) return random.pick(scalars)
    if (kind === 1) return Array.from({ length: random.below(4) }, () => draw(depth + 1))
    return Object.fromEntries(Array.from({ length: random.below(5) }, () => [random.pick(keys), draw(depth + 1)]))
  }
  const readers = (['messages', 'sharegpt', 'alpaca', 'columns'] as const).map((format) => reader(format))
  for (let i = 0; i < 20_000; i++) {
    try {
      readConversation(draw(0), random.pick(readers))
    } catch (error) {
      expect(error).toMatchObject({ name: 'BadRow' })
    }
  }
})
