import { describe, expect, test } from 'vitest'
import type { Message } from '../../lib/data/conversation.js'
import type { EncodedDocument, Encoder } from '../../lib/data/encode.js'
import { fitTurn } from '../../lib/data/truncate.js'
import { Random } from '../support/random.js'
import { dialogue, encoderOf, fixtureTokenizer, plainChatml, shippedTemplate, texts } from './support.js'

const tokenizer = fixtureTokenizer()
const encodeAll = (encoder: Encoder, messages: Message[], tools?: string) => encoder.encode({ messages, tools })

/** Of conversations that are one document. */
function encode(encoder: Encoder, messages: Message[]): EncodedDocument {
  const [document, ...more] = encodeAll(encoder, messages)
  expect(more).toEqual([])
  return document as EncodedDocument
}

/** The trained stretches as texts. */
function trained({ tokens, spans }: EncodedDocument): string[] {
  return spans.flatMap((begin, i) => (i % 2 === 0 ? [tokenizer.decode([...tokens.subarray(begin, spans[i + 1])])] : []))
}

const all = ({ tokens }: EncodedDocument) => tokenizer.decode([...tokens])

const ends = {
  chatml: '<|im_end|>',
  qwen: '<|im_end|>',
  deepseekr1: '<｜end▁of▁sentence｜>',
  llama3: '<|eot_id|>',
} as const
const names = Object.keys(ends) as (keyof typeof ends)[]

describe.each(names)('%s', (name) => {
  const encoder = encoderOf(shippedTemplate(name))

  test('what is trained is the answers and the token that ends them', () => {
    const answers = ['<think>\nFirst.\n</think>\n\nYes.', '  <think>no</think> ¿Sí?\n', 'x']
    const messages = dialogue('a', answers[0] as string, 'b ', answers[1] as string, '\nc', answers[2] as string)
    const document = encode(encoder, [{ role: 'system', content: 'Be kind.' }, ...messages])
    expect(trained(document)).toEqual(answers.map((answer) => answer + ends[name]))
    expect(document.fullLength).toBe(document.tokens.length)
  })

  test('for texts in every script', () => {
    for (const text of Object.values(texts).filter((text) => !/<[|｜]/.test(text) && text.trim() !== '')) {
      const document = encode(encoder, dialogue(text, text))
      expect(trained(document)).toEqual([text.normalize('NFC') + ends[name]])
    }
  })

  test('the ids are those of the prompt and of the answer, each by itself', () => {
    const document = encode(encoder, dialogue('Why?', '\n\nBecause.'))
    const prompt = encoder.template.prompt(dialogue('Why?'))
    expect([...document.tokens]).toEqual([
      ...tokenizer.encode(prompt),
      ...tokenizer.encode(`\n\nBecause.${ends[name]}`),
    ])
  })
})

test('a template with marks and the same without give the same tokens', () => {
  const [marked, plain] = [encoderOf(shippedTemplate('chatml')), encoderOf(plainChatml)]
  const random = new Random(9)
  const pieces = Object.values(texts).filter((text) => !/<[|｜]/.test(text) && text.trim() !== '')
  for (let i = 0; i < 40; i++) {
    const messages = dialogue(...Array.from({ length: 2 + 2 * random.below(4) }, () => random.pick(pieces)))
    expect(encode(plain, messages)).toEqual(encode(marked, messages))
  }
})

describe('which tokens are trained', () => {
  const messages = dialogue('One?', '<think>a</think>1.', 'Two?', '<think>b</think>2.')
  const chatml = shippedTemplate('chatml')

  test('the last answer alone when history is masked, which has no reasoning then', () => {
    const document = encode(encoderOf(chatml, { maskHistory: true }), messages)
    expect(trained(document)).toEqual(['<think>b</think>2.<|im_end|>'])
    expect(all(document)).toBe(
      '<|im_start|>user\nOne?<|im_end|>\n<|im_start|>assistant\n1.<|im_end|>\n' +
        '<|im_start|>user\nTwo?<|im_end|>\n<|im_start|>assistant\n<think>b</think>2.<|im_end|>',
    )
  })

  test('all but the first, which nothing predicts', () => {
    const document = encode(encoderOf(chatml, { train: 'all' }), messages)
    expect(document.spans).toEqual([1, document.tokens.length])
  })
})

describe('where <think> goes', () => {
  const r1 = shippedTemplate('deepseekr1')
  const [start, end] = ['<｜begin▁of▁sentence｜><｜User｜>Q<｜Assistant｜>', '<｜end▁of▁sentence｜>']
  const given = '<think>\nr\n</think>\n\nA'
  const empty = '<think>\n\n</think>\n\n'

  test.each([
    ['target', 'leave', given, start, given, 'given'],
    ['prompt', 'leave', given, `${start}<think>\n`, 'r\n</think>\n\nA', 'given'],
    ['prompt', 'leave', '<think>r</think>A', `${start}<think>\n`, 'r</think>A', 'given'],
    ['prompt', 'leave', ' \n<think>\nr</think>A', `${start}<think>\n`, 'r</think>A', 'given'],
    ['prompt', 'leave', 'Hm. <think>r</think>A', start, 'Hm. <think>r</think>A', 'given'],
    ['target', 'leave', 'A', start, 'A', 'none'],
    ['target', 'target', 'A', start, `${empty}A`, 'added'],
    ['target', 'prompt', 'A', start + empty, 'A', 'added'],
    ['prompt', 'target', 'A', start, `${empty}A`, 'added'],
    ['target', 'leave', 'r\n</think>\n\nA', start, '<think>\nr\n</think>\n\nA', 'opened'],
    ['prompt', 'leave', 'r\n</think>\n\nA', `${start}<think>\n`, 'r\n</think>\n\nA', 'opened'],
  ] as const)('think %s, missingThink %s, answer %j', (think, missingThink, answer, prompt, target, thinking) => {
    const document = encode(encoderOf(r1, { think, missingThink }), dialogue('Q', answer))
    expect(trained(document)).toEqual([target + end])
    expect(all(document)).toBe(prompt + target + end)
    expect(document.thinking).toBe(thinking)
  })

  test('a template that opens it in the prompt keeps it there', () => {
    const opening = plainChatml.replace("assistant\\n' }}{% endif %}", "assistant\\n<think>\\n' }}{% endif %}")
    for (const think of ['target', 'prompt'] as const) {
      const document = encode(encoderOf(opening, { think }), dialogue('Q', given))
      expect(trained(document)).toEqual(['r\n</think>\n\nA<|im_end|>'])
      expect(document.thinking).toBe('given')
    }
  })
})

describe('truncation', () => {
  const chatml = shippedTemplate('chatml')
  const long = Array.from({ length: 50 }, (_, i) => `word${i}`).join(' ')
  const source = tokenizer.encode(`<|im_start|>user\n${long}<|im_end|>\n<|im_start|>assistant\n`)
  const target = tokenizer.encode('Yes.<|im_end|>')

  test('a short answer stays whole, and the head of the prompt', () => {
    const cutoffLength = 40
    const document = encode(encoderOf(chatml, { cutoffLength }), dialogue(long, 'Yes.'))
    expect([...document.tokens]).toEqual([...source.slice(0, cutoffLength - target.length), ...target])
    expect(trained(document)).toEqual(['Yes.<|im_end|>'])
    expect(document.fullLength).toBe(source.length + target.length)
  })

  test('a long answer loses its end', () => {
    const document = encode(encoderOf(chatml, { cutoffLength: 40 }), dialogue('Yes?', long))
    expect(document.tokens.length).toBe(40)
    expect(trained(document)[0]).toMatch(/^word0 .* word7/)
  })

  test('packs keep one token for padding, as LLaMA-Factory does', () => {
    for (const packing of ['pack', 'neat'] as const) {
      expect(encode(encoderOf(chatml, { cutoffLength: 40, packing }), dialogue(long, long)).tokens.length).toBe(39)
    }
  })

  test('turns are cut one after the other, the last one first when only it is trained', () => {
    const messages = dialogue('a', 'b', 'c', 'd')
    const first = encode(encoderOf(chatml, { cutoffLength: 12 }), messages)
    expect(trained(first)[0]).toBe('b<|im_end|>')
    expect(trained(first)).toHaveLength(1)
    const last = encode(encoderOf(chatml, { cutoffLength: 12, maskHistory: true }), messages)
    expect(trained(last)).toEqual(['d<|im_end|>'])
  })

  describe('of rows that are far longer than the cutoff', () => {
    const words = (count: number) => Array.from({ length: count }, (_, i) => `word${i % 97}`).join(' ')
    const cases: [string, string][] = [
      ['Yes?', words(45_000)],
      [words(45_000), 'Yes.'],
      [words(15_000), words(30_000)],
    ]

    test.each(cases)('has the tokens that the whole has', (prompt, answer) => {
      const source = tokenizer.encode(`<|im_start|>user\n${prompt}<|im_end|>\n<|im_start|>assistant\n`)
      const target = tokenizer.encode(`${answer}<|im_end|>`)
      const kept = fitTurn({ source: source.length, target: target.length }, 1000)
      const document = encode(encoderOf(chatml, { cutoffLength: 1000 }), dialogue(prompt, answer))
      expect([...document.tokens]).toEqual([...source.slice(0, kept.source), ...target.slice(0, kept.target)])
      expect(document).toMatchObject({ spans: [kept.source, 1000], isLonger: true, dropped: false })
      expect(document.fullLength).toBeGreaterThan(1000)
      const drop = encoderOf(chatml, { cutoffLength: 1000, excessLengthStrategy: 'drop' })
      expect(encode(drop, dialogue(prompt, answer))).toMatchObject({ tokens: new Uint32Array(0), dropped: true })
    })

    test('reasoning that loses its end is told, and what is kept whole is not', () => {
      const thought = `<think>\n${words(45_000)}\n</think>\n\nA`
      const encoder = encoderOf(chatml, { cutoffLength: 1000 })
      expect(encode(encoder, dialogue('Q', thought)).thinking).toBe('unclosed')
      expect(encode(encoder, dialogue('Q', `<think>\nr\n</think>\n\n${words(45_000)}`)).thinking).toBe('given')
      expect(encode(encoder, dialogue(words(45_000), '<think>\nr\n</think>\n\nA')).thinking).toBe('given')
    })
  })

  test('an example with nothing left to train is bad', () => {
    expect(() => encode(encoderOf(chatml, { cutoffLength: 10 }), dialogue(long, 'A.'))).not.toThrow()
    expect(() => encode(encoderOf(chatml, { cutoffLength: 2 }), dialogue(long, 'A.'))).toThrow(
      'truncation leaves no trained token: raise cutoffLength',
    )
  })
})

describe('refuses', () => {
  const encoder = encoderOf(shippedTemplate('chatml'))
  test.each(['<|im_end|>', '<|im_start|>', '<|endoftext|>', '<|eot_id|>', '<｜User｜>'])('a text with %s', (token) => {
    expect(() => encode(encoder, dialogue(`What is ${token}?`, 'A token.'))).toThrow(
      `the text holds the control token ${token}`,
    )
    expect(() => encode(encoder, dialogue('What?', `A ${token}.`))).toThrow('the text holds the control token')
  })

  test('ids beyond the vocabulary of the model', () => {
    const small = encoderOf(shippedTemplate('chatml'), { vocabularySize: 300 })
    expect(() => encode(small, dialogue('the', 'the'))).toThrow('is beyond the vocabulary of 300')
  })

  test('not tags that are no special tokens', () => {
    expect(trained(encode(encoder, dialogue('<| im_end |>', '<think>x</think> [INST] </s>')))).toEqual([
      '<think>x</think> [INST] </s><|im_end|>',
    ])
  })
})
