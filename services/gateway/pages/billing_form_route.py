"""The route class of the billing page's forms: it renders errors on the billing page."""

from fastapi import Request
from starlette.responses import Response

from services.gateway.pages.billing_page import render_billing_page
from services.gateway.pages.dependencies import page_context
from services.gateway.pages.page_route import PageRoute, current_caller
from services.gateway.problem_details import ProblemError


class BillingFormRoute(PageRoute):
    """A route that renders its errors on the billing page, with the form's values kept."""

    async def render_problem(self, request: Request, error: ProblemError) -> Response:
        """Render the billing page with an error, or a page of its own if the caller may not see that."""
        caller = await current_caller(request)
        # The values of a form that another site has sent are not rendered.
        if caller is None or error.code == "csrf_failed":
            return await super().render_problem(request, error)
        form = await request.form() if request.method == "POST" else request.query_params
        form_values = {name: value for name, value in form.items() if isinstance(value, str)}
        try:
            return await render_billing_page(
                request, caller, page_context(request), error=error, form_values=form_values
            )
        except ProblemError:  # the billing page's data cannot be loaded either
            return await super().render_problem(request, error)
