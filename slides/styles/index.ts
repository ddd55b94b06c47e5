import '@fontsource-variable/noto-sans-tc'
import '@fontsource/iosevka/400.css'
import '@fontsource/iosevka/700.css'
import './deck.css'
