"""The field names of Stripe's objects, which the stand-in's must match exactly."""

FIELDS = {
    "billing_portal.configuration": (
        "active application business_profile created default_return_url features id is_default livemode "
        "login_page metadata name object updated"
    ),
    "billing_portal.session": (
        "configuration created customer customer_account flow id livemode locale object on_behalf_of "
        "return_url url"
    ),
    "charge": (
        "amount amount_captured amount_refunded application application_fee application_fee_amount "
        "balance_transaction billing_details calculated_statement_descriptor captured created currency "
        "customer description disputed failure_balance_transaction failure_code failure_message "
        "fraud_details id livemode metadata object on_behalf_of outcome paid payment_intent "
        "payment_method payment_method_details receipt_email receipt_number receipt_url refunded refunds "
        "review shipping source source_transfer statement_descriptor statement_descriptor_suffix status "
        "transfer_data transfer_group"
    ),
    "checkout.session": (
        "adaptive_pricing after_expiration allow_promotion_codes amount_subtotal amount_total "
        "automatic_tax billing_address_collection cancel_url client_reference_id client_secret "
        "collected_information consent consent_collection created currency currency_conversion "
        "custom_fields custom_text customer customer_account customer_creation customer_details "
        "customer_email discounts expires_at id integration_identifier invoice invoice_creation livemode "
        "locale managed_payments metadata mode object origin_context payment_intent payment_link "
        "payment_method_collection payment_method_configuration_details payment_method_options "
        "payment_method_types payment_status permissions phone_number_collection recovered_from "
        "saved_payment_method_options setup_intent shipping_address_collection shipping_cost "
        "shipping_options status submit_type subscription success_url total_details ui_mode url "
        "wallet_options"
    ),
    "coupon": (
        "amount_off created currency duration duration_in_months id livemode max_redemptions metadata "
        "name object percent_off redeem_by times_redeemed valid"
    ),
    "credit_note": (
        "amount amount_shipping created currency customer customer_account customer_balance_transaction "
        "discount_amount discount_amounts effective_at id invoice lines livemode memo metadata number "
        "object out_of_band_amount pdf post_payment_amount pre_payment_amount pretax_credit_amounts reason "
        "refunds shipping_cost status subtotal subtotal_excluding_tax total total_excluding_tax "
        "total_taxes type voided_at"
    ),
    "customer": (
        "address balance created currency default_source delinquent description discount email id "
        "invoice_prefix invoice_settings livemode metadata name next_invoice_sequence object phone "
        "preferred_locales shipping tax_exempt test_clock"
    ),
    "customer_balance_transaction": (
        "amount checkout_session created credit_note currency customer customer_account description "
        "ending_balance id invoice livemode metadata object type"
    ),
    "discount": (
        "checkout_session customer customer_account end id invoice invoice_item object promotion_code "
        "source start subscription subscription_item"
    ),
    "dispute": (
        "amount balance_transactions charge created currency enhanced_eligibility_types evidence "
        "evidence_details id is_charge_refundable livemode metadata object payment_intent "
        "payment_method_details reason status"
    ),
    "event": ("api_version created data id livemode object pending_webhooks request type"),
    "item": (
        "adjustable_quantity amount_discount amount_subtotal amount_tax amount_total currency description "
        "id metadata object price quantity"
    ),
    "payment_intent": (
        "amount amount_capturable amount_details amount_received application application_fee_amount "
        "automatic_payment_methods canceled_at cancellation_reason capture_method client_secret "
        "confirmation_method created currency customer customer_account description "
        "excluded_payment_method_types id last_payment_error latest_charge livemode managed_payments "
        "metadata next_action object on_behalf_of payment_method payment_method_configuration_details "
        "payment_method_options payment_method_types processing receipt_email review setup_future_usage "
        "shipping source statement_descriptor statement_descriptor_suffix status transfer_data "
        "transfer_group"
    ),
    "payment_link": (
        "active after_completion allow_promotion_codes application application_fee_amount "
        "application_fee_percent automatic_tax billing_address_collection consent_collection currency "
        "custom_fields custom_text customer_creation id inactive_message invoice_creation livemode "
        "managed_payments metadata object on_behalf_of payment_intent_data "
        "payment_method_collection payment_method_options payment_method_types phone_number_collection "
        "restrictions shipping_address_collection shipping_options submit_type subscription_data "
        "tax_id_collection transfer_data url"
    ),
    "payment_method": (
        "allow_redisplay billing_details card created customer customer_account id livemode metadata "
        "object type"
    ),
    "price": (
        "active billing_scheme created currency custom_unit_amount id livemode lookup_key metadata "
        "nickname object product recurring tax_behavior tiers_mode transform_quantity type unit_amount "
        "unit_amount_decimal"
    ),
    "product": (
        "active created default_price description id images livemode marketing_features metadata name "
        "object package_dimensions shippable statement_descriptor tax_code type unit_label updated url"
    ),
    "promotion_code": (
        "active code created customer customer_account expires_at id livemode max_redemptions metadata "
        "object promotion restrictions times_redeemed"
    ),
    "refund": (
        "amount balance_transaction charge created currency customer customer_account destination_details "
        "id metadata object payment_intent payment_method reason receipt_number source_transfer_reversal "
        "status transfer_reversal"
    ),
    "setup_intent": (
        "application automatic_payment_methods cancellation_reason client_secret created customer "
        "customer_account description excluded_payment_method_types flow_directions id last_setup_error "
        "latest_attempt livemode mandate metadata next_action object on_behalf_of payment_method "
        "payment_method_configuration_details payment_method_options payment_method_types "
        "single_use_mandate status usage"
    ),
    "tax_id": ("country created customer customer_account id livemode object owner type value verification"),
    "tax_rate": (
        "active country created description display_name effective_percentage flat_amount id inclusive "
        "jurisdiction jurisdiction_level livemode metadata object percentage rate_type state tax_type"
    ),
    "webhook_endpoint": (
        "api_version application created description enabled_events id livemode metadata object status url"
    ),
    "account": (
        "business_profile business_type capabilities charges_enabled controller country created "
        "default_currency details_submitted email external_accounts future_requirements id metadata "
        "object payouts_enabled requirements settings tos_acceptance type"
    ),
}
"""Space-separated field names of each object, as API version 2026-10-28.endive shapes it."""
