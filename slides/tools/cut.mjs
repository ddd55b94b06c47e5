// The deck's two cuts: the course has all slides but those with `talk: only` in their front matter,
// the talk (CUT=talk) has those with `talk: true` or `talk: only`. The course's minutes are written
// there; the talk's are counted, from what is said, clicked and shown.
import { castFile, castSeconds } from './cast.mjs'

export const CUTS = ['course', 'talk']
/** Of the talk, in minutes. */
export const [SHORTEST, LONGEST] = [36, 40]
const CHARACTERS_A_MINUTE = 220
const SECONDS_A_CLICK = 2
/** What is below this line of a note is not said. */
const ASIDE = /^### 備忘\s*$/m

/** The cut that the environment asks for. */
export function wanted() {
  const cut = process.env.CUT || 'course'
  if (!CUTS.includes(cut))
    throw new Error(`CUT=${cut}: there are ${CUTS.join(' and ')}`)
  return cut
}

const isIn = (cut, { talk }) => cut === 'talk' ? Boolean(talk) : talk !== 'only'

const CLICK = /\[click(?::(\d+))?\]/g

/** What the speaker says of a note. */
export function spoken(note = '') {
  return note.split(ASIDE)[0].replace(CLICK, '')
}

/** How long a text is when it is said, in Chinese characters; a word or a number counts as two. */
export function spokenLength(text) {
  const characters = text.match(/\p{Script=Han}/gu) ?? []
  const words = text.match(/[\p{Script=Latin}\d]+([.,:/_\-][\p{Script=Latin}\d]+)*/gu) ?? []
  return characters.length + 2 * words.length
}

/** The clicks that a slide takes: as its front matter says, or its note by `[click]`. The browser's
 * own count must agree, for the talk: tools/check.mjs. */
export function clicksOf({ clicks }, note = '') {
  return clicks ?? [...note.matchAll(CLICK)].reduce((sum, [, times = 1]) => sum + Number(times), 0)
}

/** What a slide takes: clicks, and seconds, in the talk by what is said, clicked and shown, and by
 * `pause`, seconds in which the room raises hands, asks, or waits for the terminal; `lacks`
 * is the recording that there is not yet. */
export function taken(cut, frontmatter, note) {
  const clicks = clicksOf(frontmatter, note)
  if (cut === 'course')
    return { clicks, seconds: (frontmatter.minutes ?? 0) * 60 }
  const { demo, pause = 0 } = frontmatter
  const shown = demo ? castSeconds(demo) : 0
  const said = Math.max(spokenLength(spoken(note)) / CHARACTERS_A_MINUTE * 60, shown ?? 0) // at once
  return { clicks, seconds: said + clicks * SECONDS_A_CLICK + pause, lacks: shown === undefined ? castFile(demo) : undefined }
}

/** Minutes and seconds. */
export const clock = seconds => `${Math.floor(Math.round(seconds) / 60)}:${String(Math.round(seconds) % 60).padStart(2, '0')}`
/** The line that `cutter` writes; whoever edits a note in the presenter's view stores it. */
const TIMES = /^\*\*\d+:\d\d.*\*\*\n+/

/** For Slidev's parser: hides the slides of the other cut, names each one's part and, with
 * `times`, says at the head of its note how long it takes and when it ends. */
export function cutter(cut, { times = true } = {}) {
  let [part, seen] = ['', 0]
  return {
    name: 'cut',
    transformSlide(_, frontmatter) {
      if (frontmatter.src) // the slides of that file come one by one
        return
      part = frontmatter.part ?? part
      Object.assign(frontmatter, { part, hide: frontmatter.hide || !isIn(cut, frontmatter) })
      if (frontmatter.duration && cut === 'talk')
        frontmatter.duration = `${LONGEST}min`
    },
    transformNote(note, frontmatter) {
      if (!times || frontmatter.src || frontmatter.hide)
        return
      const own = (note ?? '').replace(TIMES, '')
      const { seconds } = taken(cut, frontmatter, own)
      seen += seconds
      return `**${clock(seconds)}${frontmatter.optional ? '（可略）' : ''}，講完這張是 ${clock(seen)}**\n\n${own}`
    },
  }
}
