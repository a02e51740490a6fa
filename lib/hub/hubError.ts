import { BranchMergeError, type ErrorCode } from '../errors.js'

/** What an answer of the Hub that is no success means. */
export interface Refusal {
  status: number
  /** X-Error-Code: what the Hub calls it. */
  code: string | undefined
  /** X-Error-Message, or of the body. */
  message: string | undefined
}

/**
 * @param subject - what was asked for, as people write it: "the model org/name"
 * @param asked - whether a token was sent, and whether something was to be written
 */
export function refusalError(
  refusal: Refusal,
  subject: string,
  { hasToken, writing }: { hasToken: boolean; writing: boolean },
): BranchMergeError {
  const { status, code, message } = refusal
  const said = message ? `: ${message}` : ''
  if (code === 'RevisionNotFound') return fail('ERR_HUB_NOT_FOUND', `The Hub has no such revision of ${subject}${said}`)
  if (code === 'EntryNotFound') return fail('ERR_HUB_NOT_FOUND', `The Hub has no such file: ${subject}${said}`)
  if (writing && (status === 403 || status === 401)) {
    return fail(
      'ERR_HUB_ACCESS',
      `The Hub does not let the token write to ${subject} (${status})${said}: set HF_TOKEN to one that may`,
    )
  }
  if (writing && (status === 409 || status === 412)) {
    return fail('ERR_HUB_PROTOCOL', `${subject} has changed on the Hub meanwhile (${status})${said}. Push again.`)
  }
  if (code === 'GatedRepo' || status === 403) {
    const advice = hasToken
      ? 'ask for access on its page, with the account of your token'
      : 'accept its conditions on its page, and set HF_TOKEN to a token of that account'
    return fail('ERR_HUB_ACCESS', `The Hub refuses ${subject} (${status})${said}: ${advice}`)
  }
  if (status === 401 && hasToken && code !== 'RepoNotFound') {
    return fail(
      'ERR_HUB_ACCESS',
      `The Hub does not accept the token for ${subject} (401)${said}: set HF_TOKEN to a valid one`,
    )
  }
  if (status === 401 || code === 'RepoNotFound' || status === 404) {
    const advice = hasToken ? '' : '. If it is private, set HF_TOKEN'
    return fail('ERR_HUB_NOT_FOUND', `The Hub has no ${subject.replace(/^the /, '')}${advice}`)
  }
  const wait = status === 429 ? ': it limits how often it is asked. Wait some minutes, or set HF_TOKEN' : ''
  return fail('ERR_HUB_UNAVAILABLE', `The Hub answered ${status} for ${subject}${said}${wait}`)
}

function fail(code: ErrorCode, message: string): BranchMergeError {
  return new BranchMergeError(code, message)
}
