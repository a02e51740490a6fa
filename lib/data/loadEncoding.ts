import { join } from 'node:path'
import { readJsonObject } from '../checkpoint/readConfig.js'
import { readTokenizerFiles } from '../checkpoint/tokenizerFiles.js'
import { BranchMergeError } from '../errors.js'
import { BadRow } from './badRow.js'
import { ChatTemplate, type Turn, templateError } from './chatTemplate.js'
import type { Message } from './conversation.js'
import { Encoder, type Encoding } from './encode.js'
import { type ResolvedData, shippedTemplates } from './options.js'
import { readTemplate } from './readTemplate.js'
import { placeReasoning } from './reasoning.js'
import type { TextTokenizer } from './tokenizer.js'

export interface LoadedEncoding {
  encoder: Encoder
  /** What the model is given before it answers, behind the text of the user. */
  generationPrompt: string
  /** The token that ends an answer. */
  endToken: { text: string; id: number }
  /** What is odd but allowed, in words. */
  notices: string[]
}

/**
 * Tokenizer and chat template of a run, checked against each other and against the model's vocabulary.
 *
 * @throws ERR_FILE_READ, ERR_CONFIG_JSON, ERR_TOKENIZER, ERR_CHAT_TEMPLATE
 */
export async function loadEncoding(model: string, data: ResolvedData): Promise<LoadedEncoding> {
  const tokenizer = await readTokenizerFiles(data.tokenizer ?? model)
  const template = await readTemplate(data.template, tokenizer)
  const { think, missingThink, train, maskHistory, cutoffLength, excessLengthStrategy, packing } = data
  const config = await readJsonObject(join(model, 'config.json'))
  const rows = config?.json.vocab_size
  const encoding: Encoding = {
    tokenizer,
    templateName: template.name,
    templateText: template.text,
    vocabularySize: typeof rows === 'number' ? rows : Number.MAX_SAFE_INTEGER,
    ...{ think, missingThink, train, maskHistory, cutoffLength, excessLengthStrategy, packing },
  }
  const encoder = new Encoder(encoding)
  if (typeof rows === 'number') checkEmbedding(encoder.tokenizer, rows, model)
  else encoding.vocabularySize = encoder.tokenizer.size
  const { prompt, endToken } = await examineOrAdvise(encoder)
  const notices = compareWithServed(encoder, prompt)
  return { encoder, generationPrompt: prompt.slice(prompt.indexOf(question) + question.length), endToken, notices }
}

function checkEmbedding(tokenizer: TextTokenizer, rows: number, model: string): void {
  if (tokenizer.size <= rows) return
  const beyond = Array.from({ length: tokenizer.size - rows }, (_, i) => rows + i)
  const shown = beyond.slice(0, 8).map((id) => `${JSON.stringify(tokenizer.tokenOf(id) ?? '')} (${id})`)
  throw new BranchMergeError(
    'ERR_TOKENIZER',
    `Expected ids below ${rows}, the vocab_size of ${model}, but the tokenizer has ${beyond.length} beyond it: ` +
      `${shown.join(', ')}${beyond.length > 8 ? ', …' : ''}. The vocabulary is not extended: use the tokenizer of the model.`,
  )
}

const [question, answer] = ['What is asked', 'What is answered']

/** Renders an example to see that every control token is one token of the vocabulary, and that answers end with one. */
function examine({ template, tokenizer, encoding }: Encoder): {
  prompt: string
  endToken: { text: string; id: number }
} {
  const { source, target } = exampleTurn(template)
  checkControlTokens(template.name, source + target, tokenizer)
  const text = target.slice(target.indexOf(answer) + answer.length).trim()
  const [id, ...rest] = tokenizer.encode(text)
  if (id === undefined || rest.length > 0 || !tokenizer.addedTokens.some((token) => token.id === id)) {
    throw templateError(
      template.name,
      text === ''
        ? 'it writes nothing at the end of an answer, so that a model would not learn to stop'
        : `it ends answers with ${JSON.stringify(text)}, which is no added token of the vocabulary`,
    )
  }
  const example = placeReasoning(
    { source, target: target.includes('</think>') ? target : `<think>\n\n</think>\n\n${target}`, trained: true },
    encoding,
  )
  return { prompt: encoding.think === 'prompt' ? example.turn.source : source, endToken: { text, id } }
}

/** Names the templates of this package that would do, where the chosen one does not. */
async function examineOrAdvise(encoder: Encoder): Promise<ReturnType<typeof examine>> {
  try {
    return examine(encoder)
  } catch (error) {
    const fitting = await fittingTemplates(encoder)
    if (!(error instanceof BranchMergeError) || fitting.length === 0) throw error
    const advice = `These templates fit the vocabulary: ${fitting.join(', ')}.`
    throw new BranchMergeError(error.code, `${error.message} ${advice}`, { cause: error })
  }
}

async function fittingTemplates({ tokenizer, encoding }: Encoder): Promise<string[]> {
  const fitting: string[] = []
  for (const name of shippedTemplates) {
    const { text } = await readTemplate(name, encoding.tokenizer)
    const tokens = text.match(controlToken) ?? []
    if (tokens.every((token) => tokenizer.encode(token).length === 1)) fitting.push(name)
  }
  return fitting
}

/** With reasoning where the template cannot do without: its prompt may open it. */
function exampleTurn(template: ChatTemplate): Turn {
  const turn = (content: string) => {
    const messages: Message[] = [
      { role: 'user', content: question },
      { role: 'assistant', content },
    ]
    return template.documents({ messages, tools: undefined }, true)[0]?.[0] as Turn
  }
  try {
    return turn(answer)
  } catch (error) {
    if (!(error instanceof BadRow)) throw error
    try {
      return turn(`<think>\nWhat is thought\n</think>\n\n${answer}`)
    } catch {
      throw templateError(template.name, `an example fails: ${error.message}`, error)
    }
  }
}

/** Tokens as they are written: <|im_end|>, <｜User｜>. */
const controlToken = /<([|｜])[^<>|｜\s]{1,64}\1>/g

function checkControlTokens(name: string, rendered: string, tokenizer: TextTokenizer): void {
  const named = Object.values(tokenizer.namedTokens).filter((token) => token !== '' && rendered.includes(token))
  const written = new Set([...(rendered.match(controlToken) ?? []), ...named])
  const missing = [...written].filter((token) => tokenizer.encode(token).length !== 1)
  if (missing.length === 0) return
  const spelt = missing.map((token) => `${token} (would be spelt with the ids ${tokenizer.encode(token).join(' ')})`)
  throw templateError(name, `the vocabulary of ${tokenizer.size} tokens lacks ${spelt.join(', ')}; it is not extended`)
}

/** Whether a model that is asked with the checkpoint's own template sees what it was trained with. */
function compareWithServed({ template, tokenizer, encoding }: Encoder, prompt: string): string[] {
  const own = encoding.tokenizer.chatTemplate
  if (own === undefined || own === encoding.templateText) {
    const asked = template.prompt([{ role: 'user', content: question }])
    return asked === prompt ? [] : [differentPrompt('The template', asked, prompt)]
  }
  try {
    const served = new ChatTemplate('the chat template of the checkpoint', own, tokenizer.namedTokens)
    const asked = served.prompt([{ role: 'user', content: question }])
    return asked === prompt ? [] : [differentPrompt("The checkpoint's own chat template", asked, prompt)]
  } catch (error) {
    return [`The checkpoint's own chat template, which is not used, fails: ${(error as Error).message}`]
  }
}

const differentPrompt = (subject: string, asked: string, prompt: string): string =>
  `${subject} asks the model with ${JSON.stringify(asked)}, but training uses ` +
  `${JSON.stringify(prompt)}. Serve the expert with the template that sft writes beside it.`
