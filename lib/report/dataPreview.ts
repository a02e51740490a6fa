import type { DataPreview, PreviewSample, PreviewStretch } from '../data/previewData.js'
import { placeText } from '../data/sourceSummary.js'
import { printable } from '../text/format.js'

const thinkPlaces = {
  target: '<think> is in the target: the model learns to write it.',
  prompt: '<think> is in the prompt: whoever asks must write it.',
  nowhere: 'No <think> is in or before what is trained.',
} as const

/** Samples with what is trained in colour, or in ⟦ ⟧ where there is none. */
export function dataPreviewText(preview: DataPreview, colour: boolean): string {
  const { samples, bad, badRows, filtered, tooLong, template, generationPrompt, endToken, notices } = preview
  const passed = [
    ...badRows.map((row) => `Unusable: ${printable(placeText(row))}: ${printable(row.reason)}`),
    ...(bad > badRows.length ? [`and ${bad - badRows.length} more unusable rows`] : []),
    ...(filtered > 0 ? [`Filtered out: ${filtered} rows`] : []),
    ...(tooLong > 0 ? [`Too long: ${tooLong} rows`] : []),
  ]
  const facts = [
    `Template: ${printable(template)}`,
    `Asked with: …${JSON.stringify(generationPrompt)}`,
    `Answers end with: ${endToken.text} (id ${endToken.id})`,
    `Trained tokens are ${colour ? 'green' : 'in ⟦ ⟧'}`,
  ]
  return [
    ...samples.map((sample) => sampleText(sample, colour)),
    facts.join('\n'),
    ...(passed.length > 0 ? [passed.join('\n')] : []),
    ...notices.map((notice) => `Note: ${printable(notice)}`),
  ].join('\n\n')
}

function sampleText(sample: PreviewSample, colour: boolean): string {
  const { source, row, file, tokens, trainedTokens, fullLength, isLonger, thinkIn, answers, answersWithThink } = sample
  const some = answersWithThink > 0 && answersWithThink < answers ? ` (${answersWithThink} of ${answers} answers)` : ''
  const truncated = fullLength > tokens ? `, truncated from ${isLonger ? 'more than ' : ''}${fullLength}` : ''
  return [
    `${printable(source)}, row ${row} (${printable(file)})`,
    `${tokens} tokens${truncated}, ${trainedTokens} trained. ${thinkPlaces[thinkIn]}${some}`,
    '',
    sample.stretches.map((stretch) => stretchText(stretch, colour)).join(''),
  ].join('\n')
}

/** Line breaks and tabs as they are; whatever else could rearrange the terminal as its number. */
function stretchText({ trained, text }: PreviewStretch, colour: boolean): string {
  const safe = text
    .split(/([\n\t])/)
    .map((part) => (part === '\n' || part === '\t' ? part : printable(part)))
    .join('')
  if (!trained) return safe
  // Each line by itself: pagers and wrapped terminals lose a colour at the end of a line.
  if (colour) return safe.replace(/[^\n]+/g, (line) => `\x1b[32m${line}\x1b[39m`)
  return `⟦${safe}⟧`
}
