"""Galen's Gradio theme: system fonts, and every colour a variable of style.css, which knows light and dark."""

import gradio as gr

SYSTEM_FONT = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "Helvetica Neue", "Arial", "sans-serif")
SYSTEM_MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace")

COLOURS = {
    "body_text_color": "--ink", "body_text_color_subdued": "--muted",
    "background_fill_primary": "--surface", "background_fill_secondary": "--ground",
    "border_color_primary": "--line", "border_color_accent": "--accent", "border_color_accent_subdued": "--line",
    "color_accent_soft": "--accent-soft", "code_background_fill": "--tint",
    "link_text_color": "--accent", "link_text_color_active": "--accent", "link_text_color_hover": "--ink",
    "link_text_color_visited": "--accent",
    "block_background_fill": "--surface", "block_border_color": "--line", "block_info_text_color": "--muted",
    "block_label_background_fill": "--surface", "block_label_border_color": "--line",
    "block_label_text_color": "--muted", "block_title_text_color": "--ink",
    "panel_background_fill": "--surface", "panel_border_color": "--line",
    "accordion_text_color": "--ink", "table_text_color": "--ink", "table_border_color": "--line",
    "table_even_background_fill": "--surface", "table_odd_background_fill": "--ground", "table_row_focus": "--tint",
    "error_background_fill": "--surface", "error_border_color": "--danger", "error_text_color": "--danger",
    "error_icon_color": "--danger",
    "input_background_fill": "--surface", "input_background_fill_focus": "--surface",
    "input_background_fill_hover": "--surface", "input_border_color": "--line",
    "input_border_color_focus": "--accent", "input_border_color_hover": "--line-strong",
    "input_placeholder_color": "--muted", "loader_color": "--accent", "slider_color": "--accent",
    "stat_background_fill": "--accent",
    "button_primary_background_fill": "--accent", "button_primary_background_fill_hover": "--accent-strong",
    "button_primary_border_color": "--accent", "button_primary_border_color_hover": "--accent-strong",
    "button_primary_text_color": "--on-accent", "button_primary_text_color_hover": "--on-accent",
    "button_secondary_background_fill": "--surface", "button_secondary_background_fill_hover": "--tint",
    "button_secondary_border_color": "--line-strong", "button_secondary_border_color_hover": "--line-strong",
    "button_secondary_text_color": "--ink", "button_secondary_text_color_hover": "--ink",
    "button_cancel_background_fill": "--surface", "button_cancel_background_fill_hover": "--tint",
    "button_cancel_border_color": "--danger", "button_cancel_border_color_hover": "--danger",
    "button_cancel_text_color": "--danger", "button_cancel_text_color_hover": "--danger",
}
PLAIN = {
    "body_text_size": "16px", "block_shadow": "none", "block_border_width": "0px", "block_radius": "8px",
    "container_radius": "8px", "input_radius": "8px", "input_shadow": "none", "input_shadow_focus": "none",
    "input_border_width": "1px", "button_large_radius": "8px", "button_medium_radius": "8px",
    "button_small_radius": "8px", "button_transition": "background-color 0.12s, border-color 0.12s",
    "button_primary_shadow": "none", "button_secondary_shadow": "none", "layout_gap": "16px",
    "chatbot_text_size": "16px",
}
HAS_DARK = {"block_shadow", "block_border_width", "input_shadow", "input_shadow_focus", "input_border_width",
            "button_primary_shadow", "button_secondary_shadow"}


def calm_theme() -> gr.themes.Base:
    """The theme; asks for no font and no style sheet from elsewhere."""
    theme = gr.themes.Base(font=SYSTEM_FONT, font_mono=SYSTEM_MONO)
    values = dict(PLAIN, color_accent="var(--accent)")
    values |= {f"{name}_dark": PLAIN[name] for name in HAS_DARK}
    for name, variable in COLOURS.items():
        values[name] = values[f"{name}_dark"] = f"var({variable})"
    # the ground is written into the page's head, before style.css is there
    return theme.set(body_background_fill="#FAFAF7", body_background_fill_dark="#0F1514", **values)
