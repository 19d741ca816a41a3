/** The vehicle to which somebody writes. */
import { ref } from 'vue'

export const messageTo = ref<string | null>(null)
