const BEFORE = 0.2

/** The seconds just before a recording's steps: the demo says each in reverse (scripts/story.sh). */
export function stepsOf(recording) {
  const events = recording.trimEnd().split('\n').slice(1).map(line => JSON.parse(line))
  return events.filter(([, kind, text]) => kind === 'o' && text.includes('\u001b[7m#')).map(([at]) => at - BEFORE)
}
